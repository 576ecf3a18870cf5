"""What a DICOM header says the picture shows: refused where it is no radiograph, remarked where the model may not fit.

Header values are compared with known words and never repeated, since a hospital may have typed anything into them.
"""

from __future__ import annotations

from typing import Final

from pydicom import Dataset

from radiograph.dicom_levels import has_window
from radiograph.errors import NotARadiograph

RADIOGRAPHS: Final = frozenset({"CR", "DX", "DR", "RG"})
"""Computed, digital and digitised film radiography (PS3.3, C.7.3.1.1.1); DR is a retired name that is still written."""

OTHER_MODALITIES: Final = {
    "BMD": "a bone density scan",
    "CT": "a CT slice",
    "DOC": "a document",
    "ES": "an endoscopy picture",
    "GM": "a microscope picture",
    "IO": "a dental X-ray",
    "IVUS": "an ultrasound picture",
    "MG": "a mammogram",
    "MR": "an MR slice",
    "NM": "a nuclear medicine picture",
    "OP": "an eye picture",
    "OPT": "an eye picture",
    "PT": "a PET slice",
    "PX": "a dental X-ray",
    "RTDOSE": "a radiotherapy dose plan",
    "RTIMAGE": "a radiotherapy picture",
    "SEG": "a segmentation",
    "SM": "a microscope picture",
    "TG": "a thermogram",
    "US": "an ultrasound picture",
    "XA": "an angiogram",
    "XC": "a photograph",
}
_STORAGE: Final = "1.2.840.10008.5.1.4.1.1."
OTHER_CLASSES: Final = {
    "1.2": "a mammogram",
    "1.3": "a dental X-ray",
    "2": "a CT slice",
    "3": "an ultrasound picture",
    "4": "an MR slice",
    "6": "an ultrasound picture",
    "12.1": "an angiogram",
    "13": "a 3D or tomosynthesis picture",
    "20": "a nuclear medicine picture",
    "66": "a segmentation",
    "77": "a photograph or microscope picture",
    "128": "a PET slice",
    "481": "a radiotherapy object",
}
"""SOP classes (PS3.4, B.5) under ``_STORAGE``, each with all below it; some files name a wrong modality, or none."""
BODY_PARTS: Final = {
    "ABDOMEN": "the abdomen",
    "BREAST": "the breast",
    "CHEST": "the chest",
    "COCCYX": "the spine",
    "CSPINE": "the spine",
    "FACE": "the face",
    "HEAD": "the head",
    "HEART": "the heart",
    "JAW": "the jaw",
    "LSPINE": "the spine",
    "LUNG": "the chest",
    "NECK": "the neck",
    "RIB": "the ribs",
    "SACRUM": "the spine",
    "SKULL": "the skull",
    "SPINE": "the spine",
    "SSPINE": "the spine",
    "STERNUM": "the breastbone",
    "THORAX": "the chest",
    "TSPINE": "the spine",
}
"""Body parts outside the model's training data, as PS3.16 Annex L spells them in Body Part Examined."""


def refuse_other_modalities(dataset: Dataset) -> None:
    """Raise NotARadiograph where the file's modality, or the kind of DICOM object it is, is not radiography.

    Fluoroscopy (RF) passes with a warning, because rooms for both label plain exposures RF; angiography (XA) does not.
    """
    words = OTHER_MODALITIES.get(_word(dataset, "Modality")) or _other_class(_word(dataset, "SOPClassUID"))
    if words:
        raise NotARadiograph(
            f"This is {words}, not a plain radiograph. Give the CR, DX or digitised film picture of the limb."
        )


def _other_class(uid: str) -> str | None:
    within = f"{uid.removeprefix(_STORAGE)}." if uid.startswith(_STORAGE) else ""
    return next((words for start, words in OTHER_CLASSES.items() if within.startswith(f"{start}.")), None)


def scope_warnings(dataset: Dataset) -> tuple[str, ...]:
    """Return sentences on modality, body part, windows and burnt-in text, for the reader of the finding."""
    warnings = []
    modality = _word(dataset, "Modality")
    if modality == "RF":
        warnings.append("The picture comes from fluoroscopy; the model was trained on plain radiographs.")
    elif modality not in RADIOGRAPHS:
        warnings.append("The file does not say that it is a radiograph; it was read as one.")
    part = BODY_PARTS.get("".join(filter(str.isalpha, _word(dataset, "BodyPartExamined"))))
    if part:
        warnings.append(f"The file says that it shows {part}; the model was trained on limbs, hips and shoulders.")
    if _alternatives(dataset) > 1:
        warnings.append("The file offers several brightness windows; the first was used.")
    if _word(dataset, "BurnedInAnnotation") == "YES":
        warnings.append("The file says that text is burnt into the picture; it may name the patient.")
    return tuple(warnings)


def _word(dataset: Dataset, keyword: str) -> str:
    try:
        return str(dataset.get(keyword) or "").strip().upper()
    except Exception:  # a header may hold anything
        return ""


def _alternatives(dataset: Dataset) -> int:
    """Return how many VOI LUTs, else windows, the file offers."""
    try:
        tables = len(dataset.get("VOILUTSequence") or ())
        return tables or (int(dataset["WindowCenter"].VM) if has_window(dataset) else 0)
    except Exception:  # as above
        return 0
