//! Jobs: what takes long, one after the other.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Time;

// `tt`, because what derives the API's description does not see through a `literal`.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$item_meta:meta])* $item:ident = $word:tt,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub enum $name { $($(#[$item_meta])* #[serde(rename = $word)] $item,)* }

        impl $name {
            /// Every variant.
            pub const ALL: &'static [Self] = &[$(Self::$item),*];

            /// The word that stands for it in JSON.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$item => $word,)* }
            }

            /// What `word` stands for.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.word() == word)
            }
        }
    };
}

words! {
    /// What a job does.
    JobKind {
        /// Trains a run.
        Train = "train",
        /// Makes images.
        Generate = "generate",
        /// Makes masks.
        Segment = "segment",
        /// Judges images.
        Evaluate = "evaluate",
    }
}

words! {
    /// How far a job is.
    JobState {
        /// It waits for its turn.
        Queued = "queued",
        /// It is being worked on.
        Running = "running",
        /// It was halted, and goes on when it is told to.
        Paused = "paused",
        /// The disk is full; it goes on by itself once there is room.
        Waiting = "waiting",
        /// It has ended well.
        Done = "done",
        /// It has ended with a fault.
        Failed = "failed",
        /// It was cancelled.
        Cancelled = "cancelled",
    }
}

impl JobState {
    /// Whether nothing more will happen.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }
}

/// A job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Job {
    /// Its id.
    pub id: Uuid,
    /// What it does.
    pub kind: JobKind,
    /// How far it is.
    pub state: JobState,
    /// The run that it trains or uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Uuid>,
    /// What it is doing, in a few words; empty before it begins.
    pub stage: String,
    /// Steps made in the stage.
    pub step: u64,
    /// Steps of the stage; 0 where they are not known.
    pub steps: u64,
    /// How many jobs are before it, of all projects; none where it does not wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u32>,
    /// Estimate of the seconds until the stage ends, from its speed so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<f64>,
    /// When it was made.
    pub created: Time,
    /// When work on it began last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Time>,
    /// When the worker was last known to be at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<Time>,
    /// Why it failed, or waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<JobFault>,
}

/// Why a job failed, or waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobFault {
    /// What a program tells faults apart by.
    pub code: String,
    /// For a person: the thing, the fault and the cure.
    pub detail: String,
}

/// Something that happened to a job: the data of a server-sent event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum JobEvent {
    /// Its state has changed.
    State {
        /// The new state.
        state: JobState,
        /// Why, where it is a fault.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fault: Option<JobFault>,
    },
    /// It has made steps.
    Progress {
        /// What it is doing.
        stage: String,
        /// Steps made in the stage. After a crash they go on from the last checkpoint, so a number may come again.
        step: u64,
        /// Steps of the stage; 0 where they are not counted, as while the model is loaded.
        steps: u64,
        /// The step's loss, in training.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        loss: Option<f64>,
        /// Estimate of the seconds until the stage ends.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seconds_left: Option<f64>,
    },
    /// It has made an image.
    Image {
        /// The image's id.
        image: Uuid,
    },
    /// It has looked for the subject of a photo.
    Mask {
        /// The photo's id.
        photo: Uuid,
        /// Why there is no mask; none where one was made.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fault: Option<String>,
    },
    /// It has judged an image.
    Score {
        /// The image's id.
        image: Uuid,
    },
}
