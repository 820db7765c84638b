"""configs/data/*.yaml, one per data set and one more: what is known of published files, and who has them."""

from pydantic import BaseModel, ConfigDict, ValidationError

from amad_bench.plan.config.messages import key_path
from amad_bench.plan.config.yaml_file import read_yaml
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.paths import MANIFESTS, shipped


class FileFacts(BaseModel):
    """Facts known of a published file.

    publisher: where it is published, or why it is not; records: see `doctor`.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    publisher: str = ""
    records: int | None = None
    bytes: int | None = None
    sha256: str | None = None


class Manifest(BaseModel):
    """The files of a data set.

    publisher: of every file that names none itself; files: by path below AMAD_DATA.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    publisher: str = ""
    files: dict[str, FileFacts] = {}

    def facts(self, path: str) -> FileFacts:
        """Facts about a file, or about a folder or archive (`path` + ".tar") of photos."""
        stem = path.removesuffix(".tar")
        known = next((self.files[name] for name in (path, stem, f"{stem}.tar") if name in self.files), None)
        facts = known or FileFacts()
        return facts.model_copy(update={"publisher": facts.publisher or self.publisher})


def read_manifest(dataset: str) -> Manifest:
    """The manifest of a data set, empty without a folder of manifests; UserError for a file that is none."""
    path = shipped(MANIFESTS) / f"{dataset}.yaml"
    if not path.is_file():
        return Manifest()
    try:
        return Manifest.model_validate(read_yaml(path))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = key_path(first["loc"]) or "the file"
        raise UserError(f"{path}: {where}: {first['msg']}; restore it") from None
