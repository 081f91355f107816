from pathlib import Path

import numpy as np
import pytest

from anonymize.core.errors import OptionError
from anonymize.lab.market1501 import ReidFolder
from anonymize.lab.synthesis import several_cameras
from anonymize.lab.synthesis.several_cameras import PICTURE_HW, write_market1501
from anonymize.media import read_image


@pytest.mark.parametrize(("views", "cameras"), [(1, 2), (2, 1)])
def test_what_cannot_be_found_is_refused(tmp_path: Path, views: int, cameras: int) -> None:
    with pytest.raises(OptionError, match="another camera"):
        write_market1501(tmp_path, people=1, views=views, cameras=cameras)
    assert not any(tmp_path.iterdir())


def test_the_folder_can_be_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(several_cameras, "VIEW_HW", (192, 256))
    monkeypatch.setattr(several_cameras, "HEIGHT_PX", (60, 90))
    assert write_market1501(tmp_path, people=2, views=2, cameras=2, seed=3) == 4
    folder = ReidFolder.read(tmp_path)
    assert folder.query.people.tolist() == folder.gallery.people.tolist() == [1, 2]
    assert folder.query.cameras.tolist() == [1, 1] and folder.gallery.cameras.tolist() == [2, 2]
    pictures = [read_image(tmp_path / name).image for name in (*folder.query.names, *folder.gallery.names)]
    assert {picture.shape for picture in pictures} == {(*PICTURE_HW, 3)}
    assert all(np.std(picture[100:150, 50:80].astype(float)) > 3 for picture in pictures)
    with pytest.raises(OptionError, match="exists"):
        write_market1501(tmp_path, people=2, views=2, cameras=2)
