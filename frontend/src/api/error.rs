//! Why a request was not answered as hoped.

use mudi_domain::api::Problem;

/// Why a request was not answered as hoped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ApiError {
    /// No answer came.
    #[error("the server does not answer; check the connection, and whether it still runs")]
    Offline,
    /// The server says what is wrong.
    #[error("{}", .0.detail)]
    Problem(Problem),
    /// What came is not what the server sends.
    #[error("the answer cannot be read ({0}); load the page again: the server may be of another version")]
    Unreadable(String),
}

impl ApiError {
    /// The problem's code; empty for other errors.
    pub(crate) fn code(&self) -> &str {
        match self {
            Self::Problem(problem) => &problem.code,
            _ => "",
        }
    }
}
