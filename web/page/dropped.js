/** Dropped: the files that a visitor drops or chooses, those within folders too, told apart by what they are. */

const PHOTO = /\.(jpe?g|jfif|png|webp|gif|bmp|avif|hei[cf]|tiff?)$/i; // what a file is that has no type
const VIDEO = /\.(mp4|m4v|webm|mov|mkv|avi|ogv|mpe?g|3gp)$/i;

/**
 * @typedef {{name: string, file: File}} Given by its path where it lay in a folder
 * @typedef {{photos: Given[], videos: Given[], others: number}} Sorted `others`: files of other kinds in folders
 */

/** Of a file chooser. @param {Iterable<File>} files @returns {Given[]} */
export function chosen(files) {
  return [...files].map((file) => ({ name: file.webkitRelativePath || file.name || "pasted picture", file }));
}

/** Of what was dropped. The entries of folders have to be asked for before anything is waited for.
 * @param {DataTransfer | null} transfer @returns {Promise<Given[]>} */
export async function dropped(transfer) {
  const entries = [...(transfer?.items ?? [])].map((item) => item.webkitGetAsEntry?.() ?? null);
  if (!entries.some((entry) => entry?.isDirectory)) return chosen(transfer?.files ?? []);
  const found = await Promise.all(entries.map((entry) => within(/** @type {any} */ (entry))));
  return found.flat();
}

/** @param {any} entry of the File and Directory Entries API @returns {Promise<Given[]>} */
async function within(entry) {
  if (!entry) return [];
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return [{ name: entry.fullPath.replace(/^\//, ""), file }];
  }
  const reader = entry.createReader();
  /** @type {Given[]} */
  const found = [];
  for (;;) {
    // A folder is told in parts of some hundred entries; an empty part is its end.
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return found;
    for (const one of some) found.push(...(await within(one)));
  }
}

/** In the order of their names. What was named itself is taken for a photo, so that it is told why it cannot be read;
 * in a folder lies much else. @param {Given[]} given @returns {Sorted} */
export function sorted(given) {
  /** @type {Sorted} */
  const made = { photos: [], videos: [], others: 0 };
  for (const one of given.toSorted((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }))) {
    const { type, name } = one.file;
    if (type.startsWith("video/") || VIDEO.test(name)) made.videos.push(one);
    else if (type.startsWith("image/") || PHOTO.test(name) || !one.name.includes("/")) made.photos.push(one);
    else made.others += 1;
  }
  return made;
}
