//! Who may do what: passwords, sessions, and links that grant what they say.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Time;

/// What somebody may do with a project; each level may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Access {
    /// Only sign in.
    Nobody,
    /// Look at photos, runs and images.
    Viewer,
    /// Also fetch the trained weights, to preview layouts in the own browser; save nothing.
    Player,
    /// Also change the project, train and generate.
    Editor,
    /// Also make and delete projects and links.
    Owner,
}

impl Access {
    /// The levels, lowest first.
    pub const ALL: [Self; 5] = [Self::Nobody, Self::Viewer, Self::Player, Self::Editor, Self::Owner];

    /// The word that stands for the level in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Viewer => "viewer",
            Self::Player => "player",
            Self::Editor => "editor",
            Self::Owner => "owner",
        }
    }

    /// The level that `word` stands for.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|access| access.word() == word)
    }
}

/// A link that grants access to one project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Link {
    /// Its id, which grants nothing.
    pub id: Uuid,
    /// What it grants: viewer, player or editor.
    pub access: Access,
    /// For the owner's memory, for example whom it was sent to.
    pub label: String,
    /// When it was made.
    pub created: Time,
    /// When it ends; never where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Time>,
}

/// What a new link shall grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewLink {
    /// viewer, player or editor.
    pub access: Access,
    /// For the owner's memory; at most 200 characters.
    #[serde(default)]
    pub label: String,
    /// When it ends; never where there is none.
    #[serde(default)]
    pub expires: Option<Time>,
}

/// A link that was just made. Its secret is told this once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreatedLink {
    /// The link.
    pub link: Link,
    /// What to put behind the page's address as `#link=SECRET`: browsers send a fragment to no server.
    pub secret: String,
}

/// How somebody signs in: with the owner's password, or with a link's secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum NewSession {
    /// The owner's password.
    Password(String),
    /// The secret of a link.
    Link(String),
}

/// A new password for the owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewPassword {
    /// 8 to 1000 characters.
    pub password: String,
}

/// What whoever asks may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Session {
    /// The highest level that is held anywhere.
    pub access: Access,
    /// Whether it is held because the request comes from this very machine.
    pub local: bool,
    /// Whether the owner has a password, without which nobody can sign in as the owner from elsewhere.
    pub password_set: bool,
    /// Whether the server takes whoever is at its own machine for the owner; never where a proxy passes requests on.
    pub owner_on_machine: bool,
    /// The address under which browsers reach the server, where one is set; with `https` cookies are sent by TLS only.
    pub public_url: String,
    /// Which of the server's networks know plush toys only.
    pub toys_only: ToysOnly,
    /// What links grant; empty for the owner, who may do everything.
    pub projects: Vec<ProjectAccess>,
}

/// Which networks that see know plush toys only, as those that ship do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ToysOnly {
    /// The one that finds subjects by the name of their class.
    pub detector: bool,
    /// The one that cuts them out.
    pub segmenter: bool,
    /// The one that tells them apart.
    pub embedder: bool,
}

/// Access to one project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProjectAccess {
    /// The project.
    pub project: Uuid,
    /// What may be done with it.
    pub access: Access,
}
