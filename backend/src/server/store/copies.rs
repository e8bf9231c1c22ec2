//! Copies of projects: subjects, photos, masks, recipes and layouts, but no runs, images or links.

use mudi_domain::api::Project;
use uuid::Uuid;

use super::{Store, StoreError, new_id, now};

#[derive(sqlx::FromRow)]
struct PhotoRow {
    id: Uuid,
    file: String,
    thumbnail: String,
    mask: Option<String>,
}

impl Store {
    /// Copies what `from` holds into a new project with this name. A copy that fails leaves nothing.
    pub(crate) async fn copy_project(&self, from: Uuid, name: &str) -> Result<Project, StoreError> {
        let made = self.create_project(name).await?;
        match self.copy_contents(from, made.id).await {
            Ok(()) => Ok(made),
            Err(error) => {
                self.delete_project(made.id).await?;
                Err(error)
            }
        }
    }

    async fn copy_contents(&self, from: Uuid, to: Uuid) -> Result<(), StoreError> {
        let keeping = self.keeping(to).await?;
        let photos: Vec<PhotoRow> =
            sqlx::query_as("select id, file, thumbnail, mask from photos where project = ? order by id")
                .bind(from)
                .fetch_all(&self.readers)
                .await?;
        for photo in &photos {
            let files = [Some(&photo.file), Some(&photo.thumbnail), photo.mask.as_ref()];
            for file in files.into_iter().flatten() {
                let extension = file.rsplit('.').next().unwrap_or_default();
                keeping.put(self.blobs().read(from, file).await?, extension).await?;
            }
        }
        let mut changes = self.begin().await?;
        sqlx::query(
            "insert into subjects (project, id, name, position)
             select ?2, id, name, position from subjects where project = ?1",
        )
        .bind(from)
        .bind(to)
        .execute(&mut *changes)
        .await?;
        for photo in &photos {
            // Of a photo that was masked or captioned meanwhile the new caption comes along, but the mask that was copied.
            sqlx::query(
                "insert into photos
                    (id, project, subject, name, source, file, thumbnail, mask, width, height, caption, created)
                 select ?3, ?2, subject, name, source, file, thumbnail, ?4, width, height, caption, ?5
                 from photos where id = ?1",
            )
            .bind(photo.id)
            .bind(to)
            .bind(new_id())
            .bind(&photo.mask)
            .bind(now())
            .execute(&mut *changes)
            .await?;
        }
        let documents: Vec<(Uuid,)> =
            sqlx::query_as("select id from documents where project = ? order by id")
                .bind(from)
                .fetch_all(&mut *changes)
                .await?;
        for (id,) in documents {
            sqlx::query(
                "insert into documents (id, project, kind, name, value, created)
                 select ?3, ?2, kind, name, value, ?4 from documents where id = ?1",
            )
            .bind(id)
            .bind(to)
            .bind(new_id())
            .bind(now())
            .execute(&mut *changes)
            .await?;
        }
        changes.commit().await?;
        drop(keeping);
        Ok(())
    }
}
