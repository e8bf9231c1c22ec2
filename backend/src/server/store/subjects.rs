//! Subjects.

use mudi_domain::api::{Page, SubjectSummary};
use mudi_domain::subject::{Subject, SubjectId};
use sqlx::Sqlite;
use uuid::Uuid;

use super::{Store, StoreError, changed};

/// The most subjects of a project.
const MOST: i64 = 64;

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    name: String,
    version: i64,
    photos: i64,
}

impl Row {
    fn summary(self) -> Result<SubjectSummary, StoreError> {
        Ok(SubjectSummary {
            id: subject_id(&self.id)?,
            name: self.name,
            photos: u32::try_from(self.photos).unwrap_or(u32::MAX),
            version: self.version,
        })
    }
}

/// The id of a column.
pub(super) fn subject_id(text: &str) -> Result<SubjectId, StoreError> {
    SubjectId::new(text).map_err(|error| StoreError::Damaged { what: "subject", fault: error.to_string() })
}

impl Store {
    /// Adds a subject.
    pub(crate) async fn create_subject(&self, project: Uuid, subject: &Subject) -> Result<(), StoreError> {
        let mut changes = self.begin().await?;
        let others: Vec<(String, String)> = sqlx::query_as("select id, name from subjects where project = ?")
            .bind(project)
            .fetch_all(&mut *changes)
            .await?;
        if others.len() as i64 >= MOST {
            return Err(StoreError::Conflict(format!("a project has at most {MOST} subjects")));
        }
        if others.iter().any(|(id, _)| id == subject.id().as_str()) {
            return Err(StoreError::Conflict(format!(
                "there is a subject `{}` already; choose another id",
                subject.id()
            )));
        }
        free_name(&others, subject)?;
        sqlx::query(
            "insert into subjects (project, id, name, position)
             select ?1, ?2, ?3, coalesce(max(position), 0) + 1 from subjects where project = ?1",
        )
        .bind(project)
        .bind(subject.id().as_str())
        .bind(subject.name())
        .execute(&mut *changes)
        .await?;
        Ok(changes.commit().await?)
    }

    /// The subjects of a project, in the order in which they were added.
    pub(crate) async fn subjects(&self, project: Uuid) -> Result<Page<SubjectSummary>, StoreError> {
        Ok(Page { items: all(&self.readers, project).await?, next: None })
    }

    /// A subject.
    pub(crate) async fn subject(&self, project: Uuid, id: &SubjectId) -> Result<SubjectSummary, StoreError> {
        one(all(&self.readers, project).await?, id)
    }

    /// Renames a subject, of which `version` must be the current one where it is given.
    pub(crate) async fn rename_subject(
        &self,
        project: Uuid,
        version: Option<i64>,
        subject: &Subject,
    ) -> Result<SubjectSummary, StoreError> {
        let mut changes = self.begin().await?;
        let others: Vec<(String, String)> = sqlx::query_as("select id, name from subjects where project = ?")
            .bind(project)
            .fetch_all(&mut *changes)
            .await?;
        free_name(&others, subject)?;
        let done = sqlx::query(
            "update subjects set name = ?3, version = version + 1
             where project = ?1 and id = ?2 and version = coalesce(?4, version)",
        )
        .bind(project)
        .bind(subject.id().as_str())
        .bind(subject.name())
        .bind(version)
        .execute(&mut *changes)
        .await?;
        let exists = others.iter().any(|(id, _)| id == subject.id().as_str());
        changed(done.rows_affected(), exists, "subject")?;
        let renamed = one(all(&mut *changes, project).await?, subject.id())?;
        changes.commit().await?;
        Ok(renamed)
    }

    /// Deletes a subject and its photos.
    pub(crate) async fn delete_subject(&self, project: Uuid, id: &SubjectId) -> Result<(), StoreError> {
        let done = self.with_room(|| async move {
            let delete = sqlx::query("delete from subjects where project = ? and id = ?");
            Ok(delete.bind(project).bind(id.as_str()).execute(&self.writer).await?)
        });
        changed(done.await?.rows_affected(), false, "subject")?;
        self.sweep(project).await
    }
}

/// The subjects of a project, in the order in which they were added.
async fn all(
    reading: impl sqlx::Executor<'_, Database = Sqlite>,
    project: Uuid,
) -> Result<Vec<SubjectSummary>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "select id, name, version,
            (select count(*) from photos where photos.project = subjects.project and subject = subjects.id) photos
         from subjects where project = ? order by position",
    )
    .bind(project)
    .fetch_all(reading)
    .await?;
    rows.into_iter().map(Row::summary).collect()
}

fn one(subjects: Vec<SubjectSummary>, id: &SubjectId) -> Result<SubjectSummary, StoreError> {
    subjects.into_iter().find(|subject| subject.id == *id).ok_or(StoreError::Missing("subject"))
}

/// Two subjects of one name could not be told apart in a prompt.
fn free_name(others: &[(String, String)], subject: &Subject) -> Result<(), StoreError> {
    let same = |(id, name): &&(String, String)| {
        id != subject.id().as_str() && name.to_lowercase() == subject.name().to_lowercase()
    };
    match others.iter().find(same) {
        Some((id, name)) => Err(StoreError::Conflict(format!(
            "subject `{id}` is named {name:?} already; give each its own identifier"
        ))),
        None => Ok(()),
    }
}
