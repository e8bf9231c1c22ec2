//! Projects.

use mudi_domain::api::{Access, Page, Project};
use uuid::Uuid;

use super::{Range, Store, StoreError, changed, new_id, now};

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    name: String,
    created: i64,
    version: i64,
}

impl Row {
    fn project(self, access: Access) -> Project {
        Project { id: self.id, name: self.name, created: self.created, version: self.version, access }
    }
}

impl Store {
    /// Makes a project.
    pub(crate) async fn create_project(&self, name: &str) -> Result<Project, StoreError> {
        let insert =
            sqlx::query_as::<_, Row>("insert into projects (id, name, created) values (?, ?, ?) returning *")
                .bind(new_id())
                .bind(name)
                .bind(now());
        let row = self.change(insert).await?;
        Ok(row.ok_or(StoreError::Missing("project"))?.project(Access::Owner))
    }

    /// The projects for which `access` is more than nobody's.
    pub(crate) async fn projects(
        &self,
        range: Range,
        access: impl Fn(Uuid) -> Access,
    ) -> Result<Page<Project>, StoreError> {
        let rows: Vec<Row> = sqlx::query_as("select * from projects where id > ? order by id")
            .bind(range.after)
            .fetch_all(&self.readers)
            .await?;
        let rows: Vec<Row> = rows
            .into_iter()
            .filter(|row| access(row.id) > Access::Nobody)
            .take(range.limit as usize + 1)
            .collect();
        range.page(
            rows,
            |row| row.id,
            |row| {
                let id = row.id;
                Ok(row.project(access(id)))
            },
        )
    }

    /// A project.
    pub(crate) async fn project(&self, id: Uuid, access: Access) -> Result<Project, StoreError> {
        let row: Option<Row> = sqlx::query_as("select * from projects where id = ?")
            .bind(id)
            .fetch_optional(&self.readers)
            .await?;
        Ok(row.ok_or(StoreError::Missing("project"))?.project(access))
    }

    /// Renames a project, of which `version` must be the current one where it is given; `access` is that of whoever asks.
    pub(crate) async fn rename_project(
        &self,
        id: Uuid,
        version: Option<i64>,
        name: &str,
        access: Access,
    ) -> Result<Project, StoreError> {
        let update = sqlx::query_as::<_, Row>(
            "update projects set name = ?2, version = version + 1 where id = ?1 and version = coalesce(?3, version)
             returning *",
        )
        .bind(id)
        .bind(name)
        .bind(version);
        match self.change(update).await? {
            Some(row) => Ok(row.project(access)),
            None if self.project_exists(id).await? => Err(StoreError::Stale("project")),
            None => Err(StoreError::Missing("project")),
        }
    }

    /// Whether there is a project of this id.
    pub(crate) async fn project_exists(&self, id: Uuid) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar("select exists (select 1 from projects where id = ?)")
            .bind(id)
            .fetch_one(&self.readers)
            .await?)
    }

    /// Deletes a project and every byte of it.
    pub(crate) async fn delete_project(&self, id: Uuid) -> Result<(), StoreError> {
        let done = self.with_room(|| async move {
            Ok(sqlx::query("delete from projects where id = ?").bind(id).execute(&self.writer).await?)
        });
        changed(done.await?.rows_affected(), false, "project")?;
        // The files first: on a full disk the rest needs their room.
        let swept = self.sweep(id).await;
        // What was deleted shall not stay in free pages or in the log either; that takes room, too.
        let cleared = self.with_room(|| async move {
            sqlx::query("pragma incremental_vacuum").execute(&self.writer).await?;
            sqlx::query("pragma wal_checkpoint(truncate)").execute(&self.writer).await?;
            Ok(())
        });
        let cleared = cleared.await;
        self.keep_room().await;
        swept.and(cleared)
    }
}
