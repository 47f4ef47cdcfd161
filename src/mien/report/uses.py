"""Uses: what a model that names expressions is for and not for, and what its user has to mind."""

USES = (
    "To sort or search pictures by the apparent expression of the faces in them, with a person looking at the result.",
    "To study facial expression recognition: as a baseline, or as a start for training on other data.",
    "To play: a picture or a camera shows what the model makes of a face.",
)
NO_USES = (
    "To conclude what a person feels, thinks, intends, or whether they tell the truth.",
    "To judge people, or to take part in a decision on them: work, school, credit, insurance, police, borders, courts.",
    "To watch people who do not know of it, or who cannot refuse.",
    "For diagnosis or treatment: the model was neither made nor tested for it.",
)
RESPONSIBILITY = (
    "The model names the word that a tagger would probably give to a face in one picture. That is not what the person "
    "feels: people smile when happy and scowl when angry more often than chance, but how they show a feeling varies "
    "with culture, situation and person, and one face can mean several things (Barrett et al., Psychological Science "
    "in the Public Interest 20, 2019).",
    "In the European Union, Article 5(1)(f) of the AI Act (Regulation 2024/1689) forbids inferring people's emotions "
    "at work and in education, medical and safety reasons aside; it has applied since 2 February 2025. Elsewhere "
    "emotion recognition is listed as high-risk (Annex III, 1(c)), and people must be told that it is used on them "
    "(Article 50(3)). Other places have rules of their own. This is no legal advice.",
    "Pictures of people who can be recognized are personal data. Ask before collecting them, and keep no more than "
    "needed.",
    "More: docs/responsible-use.md in the repository.",
)
