"""What to cite: medbench, the model, how images were changed before, and the data sets that a study names."""

from .evidence import Evidence

BIBTEX = {
    "medbench": """@software{medbench,
  title = {medbench: a benchmark and ablation suite for lightweight medical image segmentation},
  author = {{The medbench developers}},
  version = {VERSION}
}""",
    "medlitenet": """@article{medlitenet,
  title = {{MedLiteNet}},
  author = {Yu and Wang and Marks and Kechadi and Yang and Dhelim and Aung},
  journal = {arXiv preprint arXiv:2509.03041},
  year = {2025}
}""",
    "isic2018": """@article{isic2018,
  title = {Skin lesion analysis toward melanoma detection 2018: a challenge hosted by the International Skin Imaging
           Collaboration ({ISIC})},
  author = {Codella, Noel and others},
  journal = {arXiv preprint arXiv:1902.03368},
  year = {2019}
}""",
    "ham10000": """@article{ham10000,
  title = {The {HAM10000} dataset, a large collection of multi-source dermatoscopic images of common pigmented skin
           lesions},
  author = {Tschandl, Philipp and Rosendahl, Cliff and Kittler, Harald},
  journal = {Scientific Data},
  volume = {5},
  year = {2018},
  doi = {10.1038/sdata.2018.161}
}""",
    "ph2": """@inproceedings{ph2,
  title = {{PH2}: a dermoscopic image database for research and benchmarking},
  author = {Mendon{\\c{c}}a, Teresa and others},
  booktitle = {35th Annual International Conference of the IEEE Engineering in Medicine and Biology Society},
  year = {2013},
  doi = {10.1109/EMBC.2013.6610779}
}""",
    "dullrazor": """@article{dullrazor,
  title = {{DullRazor}: a software approach to hair removal from images},
  author = {Lee, Tim and Ng, Vincent and Gallagher, Richard and Coldman, Andrew and McLean, David},
  journal = {Computers in Biology and Medicine},
  volume = {27},
  number = {6},
  pages = {533--543},
  year = {1997},
  doi = {10.1016/S0010-4825(97)00020-6}
}""",
}


def bibtex(evidence: Evidence) -> str:
    """Entries for medbench, the model, how hair was removed, and the data sets that the study names."""
    models = {settings.get("model") for settings in evidence.settings.values()}
    sets = {*evidence.trained_on.values(), *evidence.spec["datasets"].values()}
    wanted = [
        "medbench",
        *(["medlitenet"] if "medlitenet" in models else []),
        *(["dullrazor"] if evidence.hairless else []),
        *(name for name in BIBTEX if name in sets),
    ]
    if "isic2018" in sets and "ham10000" not in sets:
        wanted.append("ham10000")  # a source of the challenge's images, which its terms ask to cite
    return "\n\n".join(BIBTEX[name] for name in wanted).replace("VERSION", str(evidence.spec["medbench"] or ""))
