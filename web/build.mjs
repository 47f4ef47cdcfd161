/** Build: the page as static files, in the Python package: node build.mjs [FOLDER] */

import { build } from "esbuild";
import { copyFile, cp, mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { createHash } from "node:crypto";
import { relative } from "node:path";

const target = new URL(process.argv[2] ? `file://${process.cwd()}/${process.argv[2]}/` : "../src/mien/page/static/", import.meta.url);
const assets = new URL("assets/", target);
const runtime = new URL("node_modules/onnxruntime-web/", import.meta.url);
const RUNTIME = ["ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"];

await mkdir(assets, { recursive: true });
await build({
  entryPoints: { page: "page/page.js", worker: "src/worker.js", "mien-web": "src/index.js" },
  outdir: assets.pathname,
  absWorkingDir: new URL(".", import.meta.url).pathname,
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  legalComments: "none",
  conditions: ["onnxruntime-web-use-extern-wasm"], // the runtime's files lie beside the bundle
});
for (const name of RUNTIME) await copyFile(new URL(`dist/${name}`, runtime), new URL(name, assets));
for (const name of ["index.html", "models.json"]) {
  await copyFile(new URL(`page/${name}`, import.meta.url), new URL(name, target));
}
for (const name of ["page.css", "icon.svg"]) await copyFile(new URL(`page/${name}`, import.meta.url), new URL(name, assets));
await cp(new URL("page/licenses", import.meta.url), new URL("licenses/", target), { recursive: true });
const example = new URL("../src/mien/recognize/pictures/astronaut.jpg", import.meta.url);
await copyFile(example, new URL("example.jpg", assets));
await writeSums();

async function writeSums() {
  const all = await readdir(target, { recursive: true, withFileTypes: true });
  const files = all.filter((one) => one.isFile() && one.name !== "SHA256SUMS");
  const names = files.map((one) => relative(target.pathname, `${one.parentPath}/${one.name}`)).sort();
  const lines = names.map(async (name) => {
    const digest = createHash("sha256").update(await readFile(new URL(name, target)));
    return `${digest.digest("hex")}  ${name}\n`;
  });
  await writeFile(new URL("SHA256SUMS", target), (await Promise.all(lines)).join(""));
}
