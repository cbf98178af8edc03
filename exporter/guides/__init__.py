"""For people who set up a system: where each value is found, and who corrects what the vendor refuses."""

from collections.abc import Mapping

from exporter.guides import caps, codearts, crafter, itwin, json_api, sitecore
from exporter.guides.guide import Guide, Question, SignIn, Trouble

GUIDES: Mapping[str, Guide] = {
    "caps": caps.GUIDE,
    "codearts": codearts.GUIDE,
    "crafter": crafter.GUIDE,
    "itwin": itwin.GUIDE,
    "sitecore": sitecore.GUIDE,
    "json": json_api.GUIDE,
}
"""The guide to each system by ``provider:``."""

__all__ = ["GUIDES", "Guide", "Question", "SignIn", "Trouble"]
