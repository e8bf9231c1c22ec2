//! Generated images.

use mudi_domain::api::{Image, ImageScore, JobEvent, Page};
use uuid::Uuid;

use super::events::insert_event;
use super::{EventRow, Range, Store, StoreError, from_column, new_id, now, to_column};

/// An image whose files are kept already.
pub(crate) struct NewImage {
    /// Its number among the job's.
    pub(crate) number: u32,
    /// The image.
    pub(crate) file: String,
    /// Its thumbnail.
    pub(crate) thumbnail: String,
    /// The layout's canvas.
    pub(crate) canvas: Option<String>,
    /// Pixels across and down.
    pub(crate) size: (u32, u32),
    /// Its seed.
    pub(crate) seed: u64,
    /// What it was made with, as JSON.
    pub(crate) parameters: String,
}

/// The files of an image.
#[derive(sqlx::FromRow)]
pub(crate) struct ImageFile {
    /// The image.
    pub(crate) file: String,
    /// Its thumbnail.
    pub(crate) thumbnail: String,
    /// The layout's canvas.
    pub(crate) canvas: Option<String>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    job: Uuid,
    run: Option<Uuid>,
    number: u32,
    canvas: Option<String>,
    width: u32,
    height: u32,
    seed: i64,
    parameters: String,
    score: Option<String>,
    created: i64,
}

impl Row {
    fn image(self) -> Result<Image, StoreError> {
        Ok(Image {
            id: self.id,
            job: self.job,
            run: self.run,
            number: self.number,
            width: self.width,
            height: self.height,
            // SQLite's integers have a sign; the bits are those of the seed.
            seed: self.seed as u64,
            canvas: self.canvas.is_some(),
            parameters: from_column("image", &self.parameters)?,
            score: self.score.map(|score| from_column("score", &score)).transpose()?,
            created: self.created,
        })
    }
}

impl Store {
    /// Adds images of a job together, and returns what there is to tell of them. Those of numbers that were made already stay as they
    /// are, or deleted. A `run` that has been deleted meanwhile is none.
    pub(crate) async fn add_images(
        &self,
        project: Uuid,
        job: Uuid,
        run: Option<Uuid>,
        images: &[NewImage],
    ) -> Result<Vec<EventRow>, StoreError> {
        let mut changes = self.begin().await?;
        let mut events = Vec::with_capacity(images.len());
        for image in images {
            let id = new_id();
            let done = sqlx::query(
                "insert into images (id, project, job, run, number, file, thumbnail, canvas, width, height, seed,
                    parameters, created)
                 select ?1, ?2, id, (select id from runs where id = ?3), ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12
                 from jobs where id = ?13 and made <= ?4
                 on conflict (job, number) do nothing",
            )
            .bind(id)
            .bind(project)
            .bind(run)
            .bind(image.number)
            .bind(&image.file)
            .bind(&image.thumbnail)
            .bind(&image.canvas)
            .bind(image.size.0)
            .bind(image.size.1)
            .bind(image.seed as i64)
            .bind(&image.parameters)
            .bind(now())
            .bind(job)
            .execute(&mut *changes)
            .await?;
            if done.rows_affected() > 0 {
                events.push(insert_event(&mut changes, job, &JobEvent::Image { image: id }).await?);
            }
        }
        let made = images.iter().map(|image| image.number + 1).max().unwrap_or(0);
        // It got further: what kills the server is not that.
        sqlx::query("update jobs set made = max(made, ?2), crashes = 0, crashed_at = 0 where id = ?1")
            .bind(job)
            .bind(made)
            .execute(&mut *changes)
            .await?;
        changes.commit().await?;
        Ok(events)
    }

    /// How many images a job has made, those included that were deleted since.
    pub(crate) async fn images_made(&self, job: Uuid) -> Result<u32, StoreError> {
        Ok(sqlx::query_scalar("select coalesce((select made from jobs where id = ?), 0)")
            .bind(job)
            .fetch_one(&self.writer)
            .await?)
    }

    /// The images of a project, or of one of its jobs, oldest first, or `newest` first.
    pub(crate) async fn images(
        &self,
        project: Uuid,
        job: Option<Uuid>,
        newest: bool,
        range: Range,
    ) -> Result<Page<Image>, StoreError> {
        let select = if newest {
            "select * from images where project = ?1 and job = coalesce(?2, job) and id < ?3 order by id desc limit ?4"
        } else {
            "select * from images where project = ?1 and job = coalesce(?2, job) and id > ?3 order by id limit ?4"
        };
        // Where nothing is known yet, all are older than this.
        let after = if newest && range.after.is_nil() { Uuid::max() } else { range.after };
        let rows: Vec<Row> = sqlx::query_as(select)
            .bind(project)
            .bind(job)
            .bind(after)
            .bind(range.fetch())
            .fetch_all(&self.readers)
            .await?;
        range.page(rows, |row| row.id, Row::image)
    }

    /// An image.
    pub(crate) async fn image(&self, project: Uuid, id: Uuid) -> Result<Image, StoreError> {
        let row: Option<Row> = sqlx::query_as("select * from images where project = ? and id = ?")
            .bind(project)
            .bind(id)
            .fetch_optional(&self.readers)
            .await?;
        row.ok_or(StoreError::Missing("image"))?.image()
    }

    /// Notes what Detect-and-Compare says of an image; nothing where it was deleted.
    pub(crate) async fn score_image(
        &self,
        project: Uuid,
        id: Uuid,
        score: &ImageScore,
    ) -> Result<(), StoreError> {
        sqlx::query("update images set score = ?3 where project = ?1 and id = ?2")
            .bind(project)
            .bind(id)
            .bind(to_column("score", score)?)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// The files of an image.
    pub(crate) async fn image_file(&self, project: Uuid, id: Uuid) -> Result<ImageFile, StoreError> {
        let row = sqlx::query_as("select file, thumbnail, canvas from images where project = ? and id = ?")
            .bind(project)
            .bind(id)
            .fetch_optional(&self.readers)
            .await?;
        row.ok_or(StoreError::Missing("image"))
    }

    /// Deletes an image.
    pub(crate) async fn delete_image(&self, project: Uuid, id: Uuid) -> Result<(), StoreError> {
        let row = self.with_room(|| async move {
            let delete = sqlx::query_as::<_, (String, String, Option<String>)>(
                "delete from images where project = ? and id = ? returning file, thumbnail, canvas",
            );
            self.change(delete.bind(project).bind(id)).await
        });
        let (file, thumbnail, canvas) = row.await?.ok_or(StoreError::Missing("image"))?;
        let files: Vec<String> = [Some(file), Some(thumbnail), canvas].into_iter().flatten().collect();
        self.release(project, &files).await
    }
}
