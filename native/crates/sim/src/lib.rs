//! The mocker's engine model and its clock.
