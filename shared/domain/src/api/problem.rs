//! What went wrong, as `application/problem+json` (RFC 9457).

use serde::{Deserialize, Serialize};

/// An error's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// The status in words.
    pub title: String,
    /// What a program tells errors apart by; it does not change.
    pub code: String,
    /// For a person: the thing, the fault and the cure.
    pub detail: String,
}
