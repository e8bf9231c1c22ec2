//! Photos, their captions and masks.

use mudi_domain::api::{Page, Photo};
use mudi_domain::subject::SubjectId;
use uuid::Uuid;

use super::subjects::subject_id;
use super::{Range, Store, StoreError, changed, new_id, now};

/// The most photos of a project.
const MOST: i64 = 10_000;

/// A photo whose files are kept already.
pub(crate) struct NewPhoto {
    /// The name of the uploaded file.
    pub(crate) name: String,
    /// SHA-256 of what was uploaded.
    pub(crate) source: String,
    /// The upright photo.
    pub(crate) file: String,
    /// Its thumbnail.
    pub(crate) thumbnail: String,
    /// Its mask, of its size.
    pub(crate) mask: Option<String>,
    /// Pixels across and down.
    pub(crate) size: (u32, u32),
    /// Empty for the default.
    pub(crate) caption: String,
}

/// The files of a photo.
#[derive(sqlx::FromRow)]
pub(crate) struct PhotoFile {
    /// The upright photo.
    pub(crate) file: String,
    /// Its thumbnail.
    pub(crate) thumbnail: String,
    /// Its mask.
    pub(crate) mask: Option<String>,
    /// Pixels across.
    pub(crate) width: u32,
    /// Pixels down.
    pub(crate) height: u32,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    subject: String,
    number: u32,
    name: String,
    mask: Option<String>,
    width: u32,
    height: u32,
    caption: String,
    created: i64,
    version: i64,
}

impl Row {
    fn photo(self) -> Result<Photo, StoreError> {
        Ok(Photo {
            id: self.id,
            subject: subject_id(&self.subject)?,
            number: self.number,
            name: self.name,
            width: self.width,
            height: self.height,
            caption: self.caption,
            mask: self.mask,
            created: self.created,
            version: self.version,
        })
    }
}

impl Store {
    /// Adds a photo, unless the subject has one of the same upload: then that one comes back, and `false`.
    pub(crate) async fn add_photo(
        &self,
        project: Uuid,
        subject: &SubjectId,
        photo: &NewPhoto,
    ) -> Result<(Photo, bool), StoreError> {
        let mut changes = self.begin().await?;
        let (exists, count): (bool, i64) = sqlx::query_as(
            "select exists (select 1 from subjects where project = ?1 and id = ?2),
                (select count(*) from photos where project = ?1)",
        )
        .bind(project)
        .bind(subject.as_str())
        .fetch_one(&mut *changes)
        .await?;
        if !exists {
            return Err(StoreError::Missing("subject"));
        }
        if count >= MOST {
            return Err(StoreError::Conflict(format!("a project has at most {MOST} photos")));
        }
        let done = sqlx::query(
            "insert into photos
                (id, project, subject, name, source, file, thumbnail, mask, width, height, caption, created, number)
             select ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, next_photo from subjects
             where project = ?2 and id = ?3 on conflict (project, subject, source) do nothing",
        )
        .bind(new_id())
        .bind(project)
        .bind(subject.as_str())
        .bind(&photo.name)
        .bind(&photo.source)
        .bind(&photo.file)
        .bind(&photo.thumbnail)
        .bind(&photo.mask)
        .bind(photo.size.0)
        .bind(photo.size.1)
        .bind(&photo.caption)
        .bind(now())
        .execute(&mut *changes)
        .await?;
        if done.rows_affected() > 0 {
            sqlx::query("update subjects set next_photo = next_photo + 1 where project = ? and id = ?")
                .bind(project)
                .bind(subject.as_str())
                .execute(&mut *changes)
                .await?;
        }
        let row: Row =
            sqlx::query_as("select * from photos where project = ? and subject = ? and source = ?")
                .bind(project)
                .bind(subject.as_str())
                .bind(&photo.source)
                .fetch_one(&mut *changes)
                .await?;
        changes.commit().await?;
        Ok((row.photo()?, done.rows_affected() > 0))
    }

    /// The photos of a project, or of one of its subjects, oldest first.
    pub(crate) async fn photos(
        &self,
        project: Uuid,
        subject: Option<&SubjectId>,
        range: Range,
    ) -> Result<Page<Photo>, StoreError> {
        let rows: Vec<Row> = sqlx::query_as(
            "select * from photos where project = ?1 and subject = coalesce(?2, subject) and id > ?3
             order by id limit ?4",
        )
        .bind(project)
        .bind(subject.map(SubjectId::as_str))
        .bind(range.after)
        .bind(range.fetch())
        .fetch_all(&self.readers)
        .await?;
        range.page(rows, |row| row.id, Row::photo)
    }

    /// A photo.
    pub(crate) async fn photo(&self, project: Uuid, id: Uuid) -> Result<Photo, StoreError> {
        let row: Option<Row> = sqlx::query_as("select * from photos where project = ? and id = ?")
            .bind(project)
            .bind(id)
            .fetch_optional(&self.readers)
            .await?;
        row.ok_or(StoreError::Missing("photo"))?.photo()
    }

    /// The files of a photo.
    pub(crate) async fn photo_file(&self, project: Uuid, id: Uuid) -> Result<PhotoFile, StoreError> {
        let row = sqlx::query_as(
            "select file, thumbnail, mask, width, height from photos where project = ? and id = ?",
        )
        .bind(project)
        .bind(id)
        .fetch_optional(&self.readers)
        .await?;
        row.ok_or(StoreError::Missing("photo"))
    }

    /// Changes a photo's caption, of which `version` must be the current one where it is given.
    pub(crate) async fn caption_photo(
        &self,
        project: Uuid,
        id: Uuid,
        version: Option<i64>,
        caption: &str,
    ) -> Result<Photo, StoreError> {
        let done = sqlx::query(
            "update photos set caption = ?3, version = version + 1
             where project = ?1 and id = ?2 and version = coalesce(?4, version)",
        )
        .bind(project)
        .bind(id)
        .bind(caption)
        .bind(version)
        .execute(&self.writer)
        .await?;
        let photo = self.photo(project, id).await?;
        changed(done.rows_affected(), true, "photo")?;
        Ok(photo)
    }

    /// Puts `mask` (a kept file; none to take it away) in the place of the mask `before`.
    pub(crate) async fn mask_photo(
        &self,
        project: Uuid,
        id: Uuid,
        before: Option<&str>,
        mask: Option<&str>,
    ) -> Result<(), StoreError> {
        let done = sqlx::query("update photos set mask = ?4 where project = ?1 and id = ?2 and mask is ?3")
            .bind(project)
            .bind(id)
            .bind(before)
            .bind(mask)
            .execute(&self.writer)
            .await?;
        if done.rows_affected() == 0 {
            self.photo(project, id).await?;
            return Err(StoreError::Stale("mask"));
        }
        Ok(())
    }

    /// Deletes a photo.
    pub(crate) async fn delete_photo(&self, project: Uuid, id: Uuid) -> Result<(), StoreError> {
        let row = self.with_room(|| async move {
            let delete = sqlx::query_as::<_, (String, String, Option<String>)>(
                "delete from photos where project = ? and id = ? returning file, thumbnail, mask",
            );
            Ok(delete.bind(project).bind(id).fetch_optional(&self.writer).await?)
        });
        let (file, thumbnail, mask) = row.await?.ok_or(StoreError::Missing("photo"))?;
        let files: Vec<String> = [Some(file), Some(thumbnail), mask].into_iter().flatten().collect();
        self.release(project, &files).await
    }
}
