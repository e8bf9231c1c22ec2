//! Jobs: a queue of rows, which the workers claim one at a time.

use mudi_domain::api::{Job, JobEvent, JobFault, JobKind, JobState, Page};
use sqlx::{Sqlite, Transaction};
use uuid::Uuid;

use super::events::insert_event;
use super::{EventRow, Range, Store, StoreError, now};

/// How long a job waits for room on the disk before it is tried again, in milliseconds.
const RETRY: i64 = 15_000;
/// The most jobs of a project that may wait.
const MOST_WAITING: i64 = 200;

/// A job that a worker has taken.
pub(crate) struct Claim {
    /// The job.
    pub(crate) id: Uuid,
    /// Its project.
    pub(crate) project: Uuid,
    /// What it does.
    pub(crate) kind: JobKind,
    /// The run that it trains or uses.
    pub(crate) run: Option<Uuid>,
    /// What was asked for, as JSON.
    pub(crate) request: String,
}

/// What shall become of a job that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Go on.
    Run,
    /// Halt, with a checkpoint.
    Pause,
    /// End.
    Cancel,
}

impl Wanted {
    /// What the column says.
    fn of(word: &str) -> Self {
        match word {
            "run" => Self::Run,
            "pause" => Self::Pause,
            _ => Self::Cancel,
        }
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    kind: String,
    state: String,
    run: Option<Uuid>,
    stage: String,
    step: i64,
    steps: i64,
    seconds_left: Option<f64>,
    created: i64,
    started: Option<i64>,
    heartbeat: Option<i64>,
    finished: Option<i64>,
    fault_code: Option<String>,
    fault_detail: Option<String>,
    position: i64,
}

/// The state of a column.
pub(super) fn state(word: &str) -> Result<JobState, StoreError> {
    JobState::from_word(word)
        .ok_or_else(|| StoreError::Damaged { what: "job", fault: format!("state {word:?}") })
}

fn kind(word: &str) -> Result<JobKind, StoreError> {
    JobKind::from_word(word)
        .ok_or_else(|| StoreError::Damaged { what: "job", fault: format!("kind {word:?}") })
}

impl Row {
    fn job(self) -> Result<Job, StoreError> {
        let state = state(&self.state)?;
        Ok(Job {
            id: self.id,
            kind: kind(&self.kind)?,
            state,
            run: self.run,
            stage: self.stage,
            step: self.step.unsigned_abs(),
            steps: self.steps.unsigned_abs(),
            position: (state == JobState::Queued).then(|| u32::try_from(self.position).unwrap_or(u32::MAX)),
            seconds_left: self.seconds_left.filter(|_| state == JobState::Running),
            created: self.created,
            started: self.started,
            heartbeat: self.heartbeat,
            finished: self.finished,
            fault: self
                .fault_code
                .map(|code| JobFault { code, detail: self.fault_detail.unwrap_or_default() }),
        })
    }
}

/// A job counts the queued ones before it, and those that run.
const SELECT: &str = "select *, (select count(*) from jobs other
    where other.state = 'running' or (other.state = 'queued' and other.id < jobs.id)) position
    from jobs where project = ";

/// Adds a job to the end of the queue.
pub(super) async fn insert_job(
    changes: &mut Transaction<'static, Sqlite>,
    project: Uuid,
    id: Uuid,
    kind: JobKind,
    run: Option<Uuid>,
    request: &str,
) -> Result<(), StoreError> {
    let (exists, waiting): (bool, i64) = sqlx::query_as(
        "select exists (select 1 from projects where id = ?1),
            (select count(*) from jobs where project = ?1 and state not in ('done', 'failed', 'cancelled'))",
    )
    .bind(project)
    .fetch_one(&mut **changes)
    .await?;
    if !exists {
        return Err(StoreError::Missing("project"));
    }
    if waiting >= MOST_WAITING {
        return Err(StoreError::Conflict(format!(
            "{MOST_WAITING} jobs of the project are waiting; wait for some, or cancel them"
        )));
    }
    sqlx::query(
        "insert into jobs (id, project, kind, state, run, request, created) values (?, ?, ?, 'queued', ?, ?, ?)",
    )
    .bind(id)
    .bind(project)
    .bind(kind.word())
    .bind(run)
    .bind(request)
    .bind(now())
    .execute(&mut **changes)
    .await?;
    Ok(())
}

impl Store {
    /// Adds a job to the end of the queue.
    pub(crate) async fn create_job(
        &self,
        project: Uuid,
        kind: JobKind,
        run: Option<Uuid>,
        request: &str,
    ) -> Result<Job, StoreError> {
        let id = super::new_id();
        let mut changes = self.begin().await?;
        if let Some(run) = run {
            let exists: bool =
                sqlx::query_scalar("select exists (select 1 from runs where id = ? and project = ?)")
                    .bind(run)
                    .bind(project)
                    .fetch_one(&mut *changes)
                    .await?;
            if !exists {
                return Err(StoreError::Missing("run"));
            }
        }
        insert_job(&mut changes, project, id, kind, run, request).await?;
        changes.commit().await?;
        self.job(project, id).await
    }

    /// The jobs of a project, oldest first.
    pub(crate) async fn jobs(&self, project: Uuid, range: Range) -> Result<Page<Job>, StoreError> {
        let mut query = sqlx::QueryBuilder::new(SELECT);
        query.push_bind(project).push(" and id > ").push_bind(range.after);
        query.push(" order by id limit ").push_bind(range.fetch());
        let rows: Vec<Row> = query.build_query_as().fetch_all(&self.readers).await?;
        range.page(rows, |row| row.id, Row::job)
    }

    /// A job.
    pub(crate) async fn job(&self, project: Uuid, id: Uuid) -> Result<Job, StoreError> {
        let mut query = sqlx::QueryBuilder::new(SELECT);
        query.push_bind(project).push(" and id = ").push_bind(id);
        let row: Option<Row> = query.build_query_as().fetch_optional(&self.readers).await?;
        row.ok_or(StoreError::Missing("job"))?.job()
    }

    /// Takes the next job, if there is one.
    pub(crate) async fn claim(&self) -> Result<Option<Claim>, StoreError> {
        let claim = sqlx::query_as::<_, (Uuid, Uuid, String, Option<Uuid>, String)>(
            "update jobs set state = 'running', wanted = 'run', started = ?1, heartbeat = ?1,
                fault_code = null, fault_detail = null
             where id = (select id from jobs
                where state = 'queued' or (state = 'waiting' and retry <= ?1) order by id limit 1)
             returning id, project, kind, run, request",
        )
        .bind(now());
        self.change(claim)
            .await?
            .map(|(id, project, word, run, request)| {
                Ok(Claim { id, project, kind: kind(&word)?, run, request })
            })
            .transpose()
    }

    /// Notes what the worker has done.
    pub(crate) async fn progress(
        &self,
        job: Uuid,
        stage: &str,
        step: u64,
        steps: u64,
        seconds_left: Option<f64>,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "update jobs set stage = ?2, step = ?3, steps = ?4, seconds_left = ?5, heartbeat = ?6 where id = ?1",
        )
        .bind(job)
        .bind(stage)
        .bind(step as i64)
        .bind(steps as i64)
        .bind(seconds_left)
        .bind(now())
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// Ends the worker's work on a job: `becomes` says what it is now, by what is wanted of it. Nobody can want anything else
    /// in between. Returns the new state, and what there is to tell; `None` where the job was deleted. On a full disk, too: that a job waits
    /// for room shall be said.
    pub(crate) async fn settle(
        &self,
        job: Uuid,
        becomes: impl Fn(Wanted) -> (JobState, Option<JobFault>),
    ) -> Result<Option<(JobState, EventRow)>, StoreError> {
        let settled = self.with_room(|| self.settle_row(job, &becomes)).await;
        self.keep_room().await;
        settled
    }

    async fn settle_row(
        &self,
        job: Uuid,
        becomes: impl Fn(Wanted) -> (JobState, Option<JobFault>),
    ) -> Result<Option<(JobState, EventRow)>, StoreError> {
        let mut changes = self.begin().await?;
        let word: Option<String> = sqlx::query_scalar("select wanted from jobs where id = ?")
            .bind(job)
            .fetch_optional(&mut *changes)
            .await?;
        let Some(word) = word else { return Ok(None) };
        let (state, fault) = becomes(Wanted::of(&word));
        let now = now();
        sqlx::query(
            "update jobs set state = ?2, wanted = 'run', fault_code = ?3, fault_detail = ?4, finished = ?5,
                retry = ?6, heartbeat = ?7, crashes = 0, crashed_at = 0 where id = ?1",
        )
        .bind(job)
        .bind(state.word())
        .bind(fault.as_ref().map(|fault| fault.code.as_str()))
        .bind(fault.as_ref().map(|fault| fault.detail.as_str()))
        .bind(state.is_over().then_some(now))
        .bind((state == JobState::Waiting).then_some(now + RETRY))
        .bind(now)
        .execute(&mut *changes)
        .await?;
        let event = insert_event(&mut changes, job, &JobEvent::State { state, fault }).await?;
        changes.commit().await?;
        Ok(Some((state, event)))
    }

    /// What shall become of a job; [`Wanted::Cancel`] where it was deleted.
    pub(crate) async fn wanted(&self, job: Uuid) -> Result<Wanted, StoreError> {
        let word: Option<String> = sqlx::query_scalar("select wanted from jobs where id = ?")
            .bind(job)
            .fetch_optional(&self.writer)
            .await?;
        Ok(word.map_or(Wanted::Cancel, |word| Wanted::of(&word)))
    }

    /// Pauses or cancels a job. One that waits is so at once, and there is an event to tell; of one that runs the worker has to
    /// be told.
    pub(crate) async fn halt(
        &self,
        project: Uuid,
        id: Uuid,
        wanted: Wanted,
    ) -> Result<(Job, Option<EventRow>), StoreError> {
        let halted = self.with_room(|| self.halt_row(project, id, wanted)).await;
        self.keep_room().await;
        halted
    }

    async fn halt_row(
        &self,
        project: Uuid,
        id: Uuid,
        wanted: Wanted,
    ) -> Result<(Job, Option<EventRow>), StoreError> {
        let (word, state, waits) = match wanted {
            Wanted::Pause => ("pause", JobState::Paused, "'queued', 'waiting'"),
            _ => ("cancel", JobState::Cancelled, "'queued', 'waiting', 'paused'"),
        };
        let mut changes = self.begin().await?;
        // It does not wait for room any more.
        let mut query =
            sqlx::QueryBuilder::new("update jobs set fault_code = null, fault_detail = null, finished = ");
        query.push_bind((wanted == Wanted::Cancel).then(now)).push(", state = ").push_bind(state.word());
        query.push(" where id = ").push_bind(id).push(" and project = ").push_bind(project);
        query.push(" and state in (").push(waits).push(")");
        let halted = query.build().execute(&mut *changes).await?.rows_affected();
        let told = sqlx::query(
            "update jobs set wanted = ?3 where id = ?1 and project = ?2 and state = 'running'
                and wanted <> 'cancel'",
        )
        .bind(id)
        .bind(project)
        .bind(word)
        .execute(&mut *changes)
        .await?
        .rows_affected();
        let event = match halted {
            0 => None,
            _ => Some(insert_event(&mut changes, id, &JobEvent::State { state, fault: None }).await?),
        };
        changes.commit().await?;
        let job = self.job(project, id).await?;
        if halted + told == 0 && job.state != state && job.state != JobState::Running {
            return Err(StoreError::Conflict(format!(
                "the job is {}; it cannot be {}",
                job.state.word(),
                state.word()
            )));
        }
        Ok((job, event))
    }

    /// Puts a paused job, or one that has failed, back into the queue, at the place of its age: then there is an event to tell. One
    /// that is still halting will be there by itself. Without its run a failed one would fail again.
    pub(crate) async fn resume(
        &self,
        project: Uuid,
        id: Uuid,
    ) -> Result<(Job, Option<EventRow>), StoreError> {
        let mut changes = self.begin().await?;
        let word: Option<String> = sqlx::query_scalar(
            "update jobs set wanted = 'run', fault_code = null, fault_detail = null, finished = null,
                crashes = 0, crashed_at = 0,
                state = case state when 'running' then 'running' else 'queued' end
             where id = ? and project = ?
                and (state in ('paused', 'waiting') or (state = 'running' and wanted = 'pause')
                    or (state = 'failed' and (run is null or exists (select 1 from runs where id = jobs.run))))
             returning state",
        )
        .bind(id)
        .bind(project)
        .fetch_optional(&mut *changes)
        .await?;
        let event = match word.as_deref().map(state).transpose()? {
            Some(state @ JobState::Queued) => {
                Some(insert_event(&mut changes, id, &JobEvent::State { state, fault: None }).await?)
            }
            _ => None,
        };
        changes.commit().await?;
        let job = self.job(project, id).await?;
        if word.is_none() && !matches!(job.state, JobState::Queued | JobState::Running) {
            return Err(StoreError::Conflict(match job.state {
                JobState::Failed => "the job's run was deleted; it cannot go on".to_owned(),
                state => format!("the job is {}; it cannot go on", state.word()),
            }));
        }
        Ok((job, event))
    }

    /// How many jobs there are of each state, for the metrics.
    pub(crate) async fn job_counts(&self) -> Result<Vec<(String, i64)>, StoreError> {
        Ok(sqlx::query_as("select state, count(*) from jobs group by state").fetch_all(&self.readers).await?)
    }
}
