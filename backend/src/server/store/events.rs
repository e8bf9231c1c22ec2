//! What happened to jobs, in order.

use mudi_domain::api::JobEvent;
use uuid::Uuid;

use super::{Store, StoreError, to_column};

/// An event with the id by which a listener goes on.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct EventRow {
    /// Its id; later ones are larger.
    pub(crate) id: i64,
    /// The [`JobEvent`] as JSON.
    pub(crate) data: String,
}

impl Store {
    /// Notes an event; none where the job was deleted.
    pub(crate) async fn add_event(
        &self,
        job: Uuid,
        event: &JobEvent,
    ) -> Result<Option<EventRow>, StoreError> {
        Ok(sqlx::query_as(
            "insert into events (job, data) select id, ?2 from jobs where id = ?1 returning id, data",
        )
        .bind(job)
        .bind(to_column("event", event)?)
        .fetch_optional(&self.writer)
        .await?)
    }

    /// At most `limit` events of a job, behind the one of id `after`.
    pub(crate) async fn events(
        &self,
        job: Uuid,
        after: i64,
        limit: u32,
    ) -> Result<Vec<EventRow>, StoreError> {
        Ok(sqlx::query_as("select id, data from events where job = ? and id > ? order by id limit ?")
            .bind(job)
            .bind(after)
            .bind(limit)
            .fetch_all(&self.readers)
            .await?)
    }
}
