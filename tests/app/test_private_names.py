"""The private names of Streamlit that the app leans on are still there; a failure here names the one that is not."""

import inspect

from streamlit.runtime import Runtime
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.session_manager import SessionManager


def test_a_session_is_found_by_its_id():
    assert "self._session_mgr" in inspect.getsource(Runtime.__init__)
    assert list(inspect.signature(SessionManager.get_session_info).parameters) == ["self", "session_id"]


def test_uploads_are_kept_by_session_and_file():
    assert MemoryUploadedFileManager("/upload").file_storage == {}
    assert hasattr(MemoryUploadedFileManager, "remove_session_files")
