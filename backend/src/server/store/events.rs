//! What happened to jobs, in order.

use mudi_domain::api::JobEvent;
use sqlx::{Sqlite, Transaction};
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

/// Notes an event together with what it tells of.
pub(super) async fn insert_event(
    changes: &mut Transaction<'static, Sqlite>,
    job: Uuid,
    event: &JobEvent,
) -> Result<EventRow, StoreError> {
    Ok(sqlx::query_as("insert into events (job, data) values (?, ?) returning id, data")
        .bind(job)
        .bind(to_column("event", event)?)
        .fetch_one(&mut **changes)
        .await?)
}

impl Store {
    /// Notes an event; none where the job was deleted.
    pub(crate) async fn add_event(
        &self,
        job: Uuid,
        event: &JobEvent,
    ) -> Result<Option<EventRow>, StoreError> {
        let insert = sqlx::query_as(
            "insert into events (job, data) select id, ?2 from jobs where id = ?1 returning id, data",
        )
        .bind(job)
        .bind(to_column("event", event)?);
        self.change(insert).await
    }

    /// Removes a job's reports of progress but for the newest, which whoever goes on listening may have missed.
    pub(crate) async fn forget_progress(&self, job: Uuid) -> Result<(), StoreError> {
        const NEWEST: u32 = 256;
        sqlx::query(
            "delete from events where job = ?1 and data like '{\"event\":\"progress\"%'
                and id <= (select id from events where job = ?1 and data like '{\"event\":\"progress\"%'
                    order by id desc limit 1 offset ?2)",
        )
        .bind(job)
        .bind(NEWEST)
        .execute(&self.writer)
        .await?;
        Ok(())
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
