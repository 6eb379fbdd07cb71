"""The page at `/`: one file each of HTML, CSS and JavaScript, as they are."""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

STATIC = Path(__file__).parent.parent / "static"

router = APIRouter(include_in_schema=False)
files = StaticFiles(directory=STATIC)


@router.get("/")
async def page() -> FileResponse:
    """The page itself. Revalidated each time, so that an upgrade is seen at once."""
    return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})
