//! What an answer of the server means, and what the page does next.

use mudi_domain::api::{Job, JobState, Problem};

/// Why a request was not answered as hoped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// No answer came.
    #[error("the server does not answer; check the connection, and whether it still runs")]
    Offline,
    /// The server says what is wrong.
    #[error("{}", .0.detail)]
    Problem(Problem),
    /// Something on the way to the server says no, by this status.
    #[error("{}", between(*.0))]
    Between(u16),
    /// What came is not what the server sends.
    #[error("the answer cannot be read ({0}); load the page again: the server may be of another version")]
    Unreadable(String),
}

impl ApiError {
    /// Of an answer with a status that is none of success.
    #[must_use]
    pub fn of(status: u16, body: &str) -> Self {
        match serde_json::from_str(body) {
            Ok(problem) => Self::Problem(problem),
            // A proxy says so while it finds no server behind it.
            Err(_) if matches!(status, 502..=504) => Self::Offline,
            Err(_) if matches!(status, 400..=499) => Self::Between(status),
            Err(_) => Self::Unreadable(format!("status {status}")),
        }
    }

    /// The problem's code; empty for other errors.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Problem(problem) => &problem.code,
            _ => "",
        }
    }

    /// Whether there is nothing to be seen any more: it is gone, or not for whoever asks. Everything else may pass.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self.code(), "missing" | "no_access" | "sign_in")
    }
}

/// What a proxy's refusal means.
fn between(status: u16) -> String {
    match status {
        413 => "something between this page and the server refuses files this large; whoever hosts it can raise that limit (nginx: \
                client_max_body_size)"
            .to_owned(),
        _ => format!("something between this page and the server refuses this (status {status}); whoever hosts it can say why"),
    }
}

/// Whether what is shown stays as it is although `answer` has come: where nothing else is to be shown, and where a fault that may
/// pass says less than what is known.
#[must_use]
pub fn stays<T: PartialEq>(shown: Option<&Result<T, ApiError>>, answer: &Result<T, ApiError>) -> bool {
    match (shown, answer) {
        (Some(Ok(known)), Ok(new)) => known == new,
        (Some(Ok(_)), Err(error)) => !error.is_final(),
        _ => false,
    }
}

/// What whoever follows a job does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Tells that it is over.
    Tell,
    /// Asks again later: while the job waits nothing happens.
    Wait,
    /// Listens to its events.
    Listen,
    /// The same, a moment later: its stream has ended although the job goes on.
    ListenAgain,
    /// Asks again soon.
    Ask,
    /// Follows it no more.
    Leave,
}

impl Next {
    /// After `answer`, where its events were listened to before, or not.
    #[must_use]
    pub fn after(answer: &Result<Job, ApiError>, listened: bool) -> Self {
        match answer {
            Ok(job) if waits(job.state) => Self::Wait,
            Ok(job) if listened && job.state.is_over() => Self::Tell,
            Ok(_) if listened => Self::ListenAgain,
            Ok(_) => Self::Listen,
            Err(error) if error.is_final() => Self::Leave,
            Err(_) => Self::Ask,
        }
    }
}

/// Whether nothing happens to a job until something else has.
#[must_use]
pub fn waits(state: JobState) -> bool {
    matches!(state, JobState::Queued | JobState::Paused | JobState::Waiting)
}

#[cfg(test)]
mod tests {
    use mudi_domain::api::JobKind;

    use super::*;

    fn problem(status: u16, code: &str) -> ApiError {
        let (code, detail) = (code.to_owned(), "it is so".to_owned());
        ApiError::Problem(Problem { status, title: String::new(), code, detail })
    }

    #[test]
    fn a_proxy_without_a_server_is_no_answer() {
        for status in [502, 503, 504] {
            assert_eq!(ApiError::of(status, "<html>Bad gateway</html>"), ApiError::Offline);
        }
        assert_eq!(ApiError::of(500, ""), ApiError::Unreadable("status 500".to_owned()));
        // One that refuses does so each time.
        let large = ApiError::of(413, "<html><h1>413 Request Entity Too Large</h1></html>");
        assert_eq!(large, ApiError::Between(413));
        assert!(large.to_string().contains("client_max_body_size"), "{large}");
        assert!(ApiError::of(403, "").to_string().contains("403"));
        let own = r#"{ "status": 503, "title": "", "code": "internal", "detail": "it is so" }"#;
        assert_eq!(ApiError::of(503, own), problem(503, "internal"));
    }

    #[test]
    fn what_is_known_gives_way_to_news_alone() {
        let (one, two) = (Ok(1), Ok(2));
        let (passing, gone) = (Err(problem(500, "internal")), Err(problem(404, "missing")));
        assert!(stays(Some(&one), &one) && !stays(Some(&one), &two));
        assert!(stays(Some(&one), &passing) && stays(Some(&one), &Err(ApiError::Offline)));
        assert!(!stays(Some(&one), &gone));
        for shown in [None, Some(&passing)] {
            for answer in [&one, &passing, &gone] {
                assert!(!stays(shown, answer));
            }
        }
    }

    #[test]
    fn a_job_is_followed_until_it_is_over_or_gone() {
        let job = |state| {
            Ok(Job {
                id: uuid::Uuid::nil(),
                kind: JobKind::Generate,
                state,
                run: None,
                stage: String::new(),
                step: 0,
                steps: 0,
                position: None,
                seconds_left: None,
                created: 0,
                started: None,
                heartbeat: None,
                finished: None,
                fault: None,
            })
        };
        for (answer, first, later) in [
            (job(JobState::Queued), Next::Wait, Next::Wait),
            (job(JobState::Running), Next::Listen, Next::ListenAgain),
            // What has happened to one that is over is in its events.
            (job(JobState::Failed), Next::Listen, Next::Tell),
            (Err(ApiError::Offline), Next::Ask, Next::Ask),
            (Err(problem(429, "too_often")), Next::Ask, Next::Ask),
            (Err(problem(404, "missing")), Next::Leave, Next::Leave),
            (Err(problem(401, "sign_in")), Next::Leave, Next::Leave),
        ] {
            assert_eq!(
                (Next::after(&answer, false), Next::after(&answer, true)),
                (first, later),
                "{answer:?}"
            );
        }
    }
}
