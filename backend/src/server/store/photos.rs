//! Photos, their captions and masks.

use mudi_domain::api::{Page, Photo};
use mudi_domain::geometry::Rect;
use mudi_domain::subject::SubjectId;
use sqlx::SqliteConnection;
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
    /// Its mask.
    pub(crate) mask: Option<NewMask>,
    /// Pixels across and down.
    pub(crate) size: (u32, u32),
    /// Empty for the default.
    pub(crate) caption: String,
}

/// A mask whose files are kept already.
#[derive(Debug, Clone)]
pub(crate) struct NewMask {
    /// The mask, of its photo's size.
    pub(crate) file: String,
    /// The mask, small.
    pub(crate) thumbnail: String,
    /// The bounding box of what it covers; none where that is nothing.
    pub(crate) bounds: Option<Rect>,
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
    /// Its mask, small.
    pub(crate) mask_thumbnail: Option<String>,
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
    mask_thumbnail: Option<String>,
    mask_x: Option<i32>,
    mask_y: Option<i32>,
    mask_width: Option<u32>,
    mask_height: Option<u32>,
    width: u32,
    height: u32,
    caption: String,
    created: i64,
    version: i64,
}

impl Row {
    /// The bounding box of what the mask covers; all of the photo while that is not known, so that nobody takes it for empty.
    fn bounds(&self) -> Option<Rect> {
        if self.mask.is_some() && self.mask_thumbnail.is_none() {
            return Some(Rect::new(0, 0, self.width, self.height));
        }
        Some(Rect::new(self.mask_x?, self.mask_y?, self.mask_width?, self.mask_height?))
    }

    fn photo(self) -> Result<Photo, StoreError> {
        Ok(Photo {
            bounds: self.bounds(),
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
    /// Adds a photo, unless the subject has one of the same upload: then that one comes back, and `false`. An upload of the file that is kept
    /// of a photo, as data sets have it that were downloaded here, is the same, too.
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
        let known: Option<Row> = sqlx::query_as(
            "select * from photos where project = ?1 and subject = ?2
                and (source = ?3 or file in (?3 || '.jpg', ?3 || '.png')) order by id limit 1",
        )
        .bind(project)
        .bind(subject.as_str())
        .bind(&photo.source)
        .fetch_optional(&mut *changes)
        .await?;
        if let Some(known) = known {
            return Ok((known.photo()?, false));
        }
        if count >= MOST {
            return Err(StoreError::Conflict(format!("a project has at most {MOST} photos")));
        }
        let id = new_id();
        sqlx::query(
            "insert into photos
                (id, project, subject, name, source, file, thumbnail, width, height, caption, created, number)
             select ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, next_photo from subjects
             where project = ?2 and id = ?3",
        )
        .bind(id)
        .bind(project)
        .bind(subject.as_str())
        .bind(&photo.name)
        .bind(&photo.source)
        .bind(&photo.file)
        .bind(&photo.thumbnail)
        .bind(photo.size.0)
        .bind(photo.size.1)
        .bind(&photo.caption)
        .bind(now())
        .execute(&mut *changes)
        .await?;
        set_mask(&mut changes, id, photo.mask.as_ref()).await?;
        sqlx::query("update subjects set next_photo = next_photo + 1 where project = ? and id = ?")
            .bind(project)
            .bind(subject.as_str())
            .execute(&mut *changes)
            .await?;
        let row: Row =
            sqlx::query_as("select * from photos where id = ?").bind(id).fetch_one(&mut *changes).await?;
        changes.commit().await?;
        Ok((row.photo()?, true))
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
            "select file, thumbnail, mask, mask_thumbnail, width, height from photos where project = ? and id = ?",
        )
        .bind(project)
        .bind(id)
        .fetch_optional(&self.readers)
        .await?;
        row.ok_or(StoreError::Missing("photo"))
    }

    /// Changes a photo's caption, and moves it to another subject; what is none stays. `version` must be the current one where it
    /// is given.
    pub(crate) async fn change_photo(
        &self,
        project: Uuid,
        id: Uuid,
        version: Option<i64>,
        caption: Option<&str>,
        subject: Option<&SubjectId>,
    ) -> Result<Photo, StoreError> {
        let mut changes = self.begin().await?;
        let done = sqlx::query(
            "update photos set caption = coalesce(?3, caption), version = version + 1
             where project = ?1 and id = ?2 and version = coalesce(?4, version)",
        )
        .bind(project)
        .bind(id)
        .bind(caption)
        .bind(version)
        .execute(&mut *changes)
        .await?;
        let row: Option<Row> = sqlx::query_as("select * from photos where project = ? and id = ?")
            .bind(project)
            .bind(id)
            .fetch_optional(&mut *changes)
            .await?;
        changed(done.rows_affected(), row.is_some(), "photo")?;
        let before = row.ok_or(StoreError::Missing("photo"))?;
        if let Some(subject) = subject.filter(|subject| subject.as_str() != before.subject) {
            move_photo(&mut changes, project, id, subject).await?;
        }
        // As this change leaves it, whoever comes next.
        let row: Row = sqlx::query_as("select * from photos where project = ? and id = ?")
            .bind(project)
            .bind(id)
            .fetch_one(&mut *changes)
            .await?;
        changes.commit().await?;
        row.photo()
    }

    /// Puts `mask` (none to take it away) in the place of the mask `before`, and returns that one's files, which may be released.
    pub(crate) async fn mask_photo(
        &self,
        project: Uuid,
        id: Uuid,
        before: Option<&str>,
        mask: Option<&NewMask>,
    ) -> Result<Vec<String>, StoreError> {
        let mut changes = self.begin().await?;
        let row: Option<(Option<String>, Option<String>)> =
            sqlx::query_as("select mask, mask_thumbnail from photos where project = ? and id = ?")
                .bind(project)
                .bind(id)
                .fetch_optional(&mut *changes)
                .await?;
        let (known, thumbnail) = row.ok_or(StoreError::Missing("photo"))?;
        if known.as_deref() != before {
            return Err(StoreError::Stale("mask"));
        }
        set_mask(&mut changes, id, mask).await?;
        changes.commit().await?;
        Ok(known.into_iter().chain(thumbnail).collect())
    }

    /// The masks that were kept before there were small ones: of which project and photo, and their files.
    pub(crate) async fn bare_masks(&self) -> Result<Vec<(Uuid, Uuid, String)>, StoreError> {
        let rows = sqlx::query_as(
            "select project, id, mask from photos where mask is not null and mask_thumbnail is null
             order by project, id",
        );
        Ok(rows.fetch_all(&self.readers).await?)
    }

    /// Deletes a photo.
    pub(crate) async fn delete_photo(&self, project: Uuid, id: Uuid) -> Result<(), StoreError> {
        let row = self.with_room(|| async move {
            let delete = sqlx::query_as::<_, (String, String, Option<String>, Option<String>)>(
                "delete from photos where project = ? and id = ? returning file, thumbnail, mask, mask_thumbnail",
            );
            self.change(delete.bind(project).bind(id)).await
        });
        let (file, thumbnail, mask, small) = row.await?.ok_or(StoreError::Missing("photo"))?;
        let files: Vec<String> = [Some(file), Some(thumbnail), mask, small].into_iter().flatten().collect();
        self.release(project, &files).await
    }
}

/// Writes a photo's mask, none in the place of one that is taken away.
pub(super) async fn set_mask(
    changes: &mut SqliteConnection,
    id: Uuid,
    mask: Option<&NewMask>,
) -> Result<(), StoreError> {
    let bounds = mask.and_then(|mask| mask.bounds);
    sqlx::query(
        "update photos set mask = ?2, mask_thumbnail = ?3, mask_x = ?4, mask_y = ?5, mask_width = ?6, mask_height = ?7
         where id = ?1",
    )
    .bind(id)
    .bind(mask.map(|mask| &mask.file))
    .bind(mask.map(|mask| &mask.thumbnail))
    .bind(bounds.map(|bounds| bounds.x))
    .bind(bounds.map(|bounds| bounds.y))
    .bind(bounds.map(|bounds| bounds.width))
    .bind(bounds.map(|bounds| bounds.height))
    .execute(changes)
    .await?;
    Ok(())
}

/// Makes a photo the next one of `subject`: layouts that name the photos there go on to mean what they meant.
async fn move_photo(
    changes: &mut SqliteConnection,
    project: Uuid,
    id: Uuid,
    subject: &SubjectId,
) -> Result<(), StoreError> {
    let (exists, there): (bool, bool) = sqlx::query_as(
        "select exists (select 1 from subjects where project = ?1 and id = ?2),
            exists (select 1 from photos there join photos moved on moved.source = there.source
                where there.project = ?1 and there.subject = ?2 and moved.project = ?1 and moved.id = ?3)",
    )
    .bind(project)
    .bind(subject.as_str())
    .bind(id)
    .fetch_one(&mut *changes)
    .await?;
    if !exists {
        return Err(StoreError::Missing("subject"));
    }
    if there {
        return Err(StoreError::Conflict(
            "the subject has this photo already; delete it here, or there".to_owned(),
        ));
    }
    sqlx::query(
        "update photos set subject = ?3, number =
            (select next_photo from subjects where project = ?1 and id = ?3)
         where project = ?1 and id = ?2",
    )
    .bind(project)
    .bind(id)
    .bind(subject.as_str())
    .execute(&mut *changes)
    .await?;
    sqlx::query("update subjects set next_photo = next_photo + 1 where project = ? and id = ?")
        .bind(project)
        .bind(subject.as_str())
        .execute(&mut *changes)
        .await?;
    Ok(())
}
