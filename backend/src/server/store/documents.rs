//! Saved recipes and layouts.

use mudi_domain::api::{NewStored, Page, Stored};
use mudi_domain::layout::Layout;
use mudi_domain::recipe::Recipe;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::{Range, Store, StoreError, changed, from_column, new_id, now, to_column};

/// What is saved as JSON under a name.
pub(crate) trait Document: Serialize + DeserializeOwned {
    /// What rows and errors call it.
    const KIND: &'static str;

    /// Whether it can be used; otherwise what is wrong, for the user.
    fn check(&self) -> Result<(), String>;
}

impl Document for Recipe {
    const KIND: &'static str = "recipe";

    fn check(&self) -> Result<(), String> {
        self.validate().map_err(|error| error.to_string())
    }
}

impl Document for Layout {
    const KIND: &'static str = "layout";

    fn check(&self) -> Result<(), String> {
        self.validate().map_err(|error| error.to_string())
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    name: String,
    value: String,
    created: i64,
    version: i64,
}

impl Row {
    fn stored<T: Document>(self) -> Result<Stored<T>, StoreError> {
        let value = from_column(T::KIND, &self.value)?;
        Ok(Stored { id: self.id, name: self.name, value, created: self.created, version: self.version })
    }
}

impl Store {
    /// Saves a document.
    pub(crate) async fn create_document<T: Document>(
        &self,
        project: Uuid,
        new: &NewStored<T>,
    ) -> Result<Stored<T>, StoreError> {
        let insert = sqlx::query_as::<_, Row>(
            "insert into documents (id, project, kind, name, value, created)
             values (?, ?, ?, ?, ?, ?) returning *",
        )
        .bind(new_id())
        .bind(project)
        .bind(T::KIND)
        .bind(&new.name)
        .bind(to_column(T::KIND, &new.value)?)
        .bind(now());
        self.change(insert).await?.ok_or(StoreError::Missing(T::KIND))?.stored()
    }

    /// The saved documents of a project, oldest first.
    pub(crate) async fn documents<T: Document>(
        &self,
        project: Uuid,
        range: Range,
    ) -> Result<Page<Stored<T>>, StoreError> {
        let rows: Vec<Row> = sqlx::query_as(
            "select * from documents where project = ? and kind = ? and id > ? order by id limit ?",
        )
        .bind(project)
        .bind(T::KIND)
        .bind(range.after)
        .bind(range.fetch())
        .fetch_all(&self.readers)
        .await?;
        range.page(rows, |row| row.id, Row::stored)
    }

    /// A saved document.
    pub(crate) async fn document<T: Document>(
        &self,
        project: Uuid,
        id: Uuid,
    ) -> Result<Stored<T>, StoreError> {
        let row: Option<Row> =
            sqlx::query_as("select * from documents where project = ? and kind = ? and id = ?")
                .bind(project)
                .bind(T::KIND)
                .bind(id)
                .fetch_optional(&self.readers)
                .await?;
        row.ok_or(StoreError::Missing(T::KIND))?.stored()
    }

    /// Puts `new` in the place of a document, of which `version` must be the current one where it is given.
    pub(crate) async fn replace_document<T: Document>(
        &self,
        project: Uuid,
        id: Uuid,
        version: Option<i64>,
        new: &NewStored<T>,
    ) -> Result<Stored<T>, StoreError> {
        // What comes back is what was written, and no later writer's.
        let update = sqlx::query_as::<_, Row>(
            "update documents set name = ?4, value = ?5, version = version + 1
             where project = ?1 and kind = ?2 and id = ?3 and version = coalesce(?6, version) returning *",
        )
        .bind(project)
        .bind(T::KIND)
        .bind(id)
        .bind(&new.name)
        .bind(to_column(T::KIND, &new.value)?)
        .bind(version);
        let Some(row) = self.change(update).await? else {
            self.document::<T>(project, id).await?;
            return Err(StoreError::Stale(T::KIND));
        };
        row.stored()
    }

    /// Deletes a document.
    pub(crate) async fn delete_document<T: Document>(
        &self,
        project: Uuid,
        id: Uuid,
    ) -> Result<(), StoreError> {
        let done = self.with_room(|| async move {
            let delete = sqlx::query("delete from documents where project = ? and kind = ? and id = ?");
            Ok(delete.bind(project).bind(T::KIND).bind(id).execute(&self.writer).await?)
        });
        let done = done.await;
        self.keep_room().await;
        changed(done?.rows_affected(), false, T::KIND)
    }
}
