//! The owner's password, links and sessions. Secrets themselves are never kept, only their digests.

use mudi_domain::api::{Access, Link, NewLink, ProjectAccess};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Store, StoreError, changed, new_id, now};

/// The most links of a project.
const MOST: i64 = 1000;

/// What a session grants now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Grants {
    /// Everything.
    pub(crate) owner: bool,
    /// What its links grant that have been neither revoked nor have expired.
    pub(crate) projects: Vec<ProjectAccess>,
    /// When the first of them ends.
    pub(crate) until: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    access: String,
    label: String,
    created: i64,
    expires: Option<i64>,
}

impl Row {
    fn link(self) -> Result<Link, StoreError> {
        Ok(Link {
            id: self.id,
            access: access(&self.access)?,
            label: self.label,
            created: self.created,
            expires: self.expires,
        })
    }
}

fn access(word: &str) -> Result<Access, StoreError> {
    Access::from_word(word)
        .ok_or_else(|| StoreError::Damaged { what: "link", fault: format!("access {word:?}") })
}

/// What is kept of a secret of 256 random bits: there is nothing to guess, so one round is enough.
fn kept(secret: &str) -> Vec<u8> {
    Sha256::digest(secret.as_bytes()).to_vec()
}

impl Store {
    /// The hash of the owner's password, where there is one.
    pub(crate) async fn password(&self) -> Result<Option<String>, StoreError> {
        Ok(sqlx::query_scalar("select password from owner").fetch_optional(&self.readers).await?)
    }

    /// The hash of the password that was last taken from the password file, where one was.
    pub(crate) async fn file_password(&self) -> Result<Option<String>, StoreError> {
        let row: Option<Option<String>> =
            sqlx::query_scalar("select from_file from owner").fetch_optional(&self.readers).await?;
        Ok(row.flatten())
    }

    /// Keeps the hash of the owner's new password, which is that of the password file or not, and ends every session of the owner.
    pub(crate) async fn set_password(&self, hash: &str, from_file: bool) -> Result<(), StoreError> {
        let set = self.with_room(|| self.set_password_row(hash, from_file)).await;
        self.keep_room().await;
        set
    }

    async fn set_password_row(&self, hash: &str, from_file: bool) -> Result<(), StoreError> {
        let mut changes = self.begin().await?;
        sqlx::query(
            "insert into owner (id, password, from_file) values (1, ?1, ?2)
             on conflict (id) do update set password = ?1, from_file = coalesce(?2, from_file)",
        )
        .bind(hash)
        .bind(from_file.then_some(hash))
        .execute(&mut *changes)
        .await?;
        sqlx::query("delete from sessions where owner").execute(&mut *changes).await?;
        Ok(changes.commit().await?)
    }

    /// Makes a link with this secret.
    pub(crate) async fn create_link(
        &self,
        project: Uuid,
        new: &NewLink,
        secret: &str,
    ) -> Result<Link, StoreError> {
        let mut changes = self.begin().await?;
        let (exists, count): (bool, i64) = sqlx::query_as(
            "select exists (select 1 from projects where id = ?1),
                (select count(*) from links where project = ?1)",
        )
        .bind(project)
        .fetch_one(&mut *changes)
        .await?;
        if !exists {
            return Err(StoreError::Missing("project"));
        }
        if count >= MOST {
            return Err(StoreError::Conflict(format!("a project has at most {MOST} links; revoke some")));
        }
        let row: Row = sqlx::query_as(
            "insert into links (id, project, access, label, secret, created, expires)
             values (?, ?, ?, ?, ?, ?, ?) returning id, access, label, created, expires",
        )
        .bind(new_id())
        .bind(project)
        .bind(new.access.word())
        .bind(&new.label)
        .bind(kept(secret))
        .bind(now())
        .bind(new.expires)
        .fetch_one(&mut *changes)
        .await?;
        changes.commit().await?;
        row.link()
    }

    /// The links of a project, oldest first.
    pub(crate) async fn links(&self, project: Uuid) -> Result<Vec<Link>, StoreError> {
        let rows: Vec<Row> = sqlx::query_as(
            "select id, access, label, created, expires from links where project = ? order by id",
        )
        .bind(project)
        .fetch_all(&self.readers)
        .await?;
        rows.into_iter().map(Row::link).collect()
    }

    /// Revokes a link: it grants nothing from now on.
    pub(crate) async fn delete_link(&self, project: Uuid, id: Uuid) -> Result<(), StoreError> {
        let done = self.with_room(|| async move {
            let delete = sqlx::query("delete from links where project = ? and id = ?");
            Ok(delete.bind(project).bind(id).execute(&self.writer).await?)
        });
        let done = done.await;
        self.keep_room().await;
        changed(done?.rows_affected(), false, "link")
    }

    /// The link of a secret, unless it was revoked or has expired.
    pub(crate) async fn link_of(&self, secret: &str) -> Result<Option<Uuid>, StoreError> {
        Ok(sqlx::query_scalar("select id from links where secret = ? and (expires is null or expires > ?)")
            .bind(kept(secret))
            .bind(now())
            .fetch_optional(&self.readers)
            .await?)
    }

    /// Begins a session, or adds to the one of this token. On a full disk, too: who is to make room has to sign in first.
    pub(crate) async fn open_session(
        &self,
        token: &str,
        owner: bool,
        link: Option<Uuid>,
        expires: i64,
    ) -> Result<(), StoreError> {
        let opened = self.with_room(|| self.open_session_rows(token, owner, link, expires)).await;
        self.keep_room().await;
        opened
    }

    async fn open_session_rows(
        &self,
        token: &str,
        owner: bool,
        link: Option<Uuid>,
        expires: i64,
    ) -> Result<(), StoreError> {
        let mut changes = self.begin().await?;
        sqlx::query("delete from sessions where expires < ?").bind(now()).execute(&mut *changes).await?;
        sqlx::query(
            "insert into sessions (token, owner, expires) values (?1, ?2, ?3)
             on conflict (token) do update set owner = owner or ?2, expires = ?3",
        )
        .bind(kept(token))
        .bind(owner)
        .bind(expires)
        .execute(&mut *changes)
        .await?;
        if let Some(link) = link {
            sqlx::query("insert into session_links (session, link) values (?, ?) on conflict do nothing")
                .bind(kept(token))
                .bind(link)
                .execute(&mut *changes)
                .await?;
        }
        Ok(changes.commit().await?)
    }

    /// What the session of `token` grants; nothing where there is none.
    pub(crate) async fn grants(&self, token: &str) -> Result<Grants, StoreError> {
        let now = now();
        let session: Option<(bool, i64)> =
            sqlx::query_as("select owner, expires from sessions where token = ? and expires > ?")
                .bind(kept(token))
                .bind(now)
                .fetch_optional(&self.readers)
                .await?;
        let Some((owner, expires)) = session else { return Ok(Grants::default()) };
        let rows: Vec<(Uuid, String, Option<i64>)> = sqlx::query_as(
            "select project, access, links.expires from session_links join links on links.id = link
             where session = ? and (links.expires is null or links.expires > ?)",
        )
        .bind(kept(token))
        .bind(now)
        .fetch_all(&self.readers)
        .await?;
        let until = rows.iter().filter_map(|(_, _, expires)| *expires).min();
        let projects = rows
            .into_iter()
            .map(|(project, word, _)| Ok(ProjectAccess { project, access: access(&word)? }))
            .collect::<Result<_, StoreError>>()?;
        Ok(Grants { owner, projects, until: Some(until.map_or(expires, |until| until.min(expires))) })
    }

    /// Ends a session.
    pub(crate) async fn close_session(&self, token: &str) -> Result<(), StoreError> {
        let closed = self.with_room(|| async move {
            let delete = sqlx::query("delete from sessions where token = ?");
            Ok(delete.bind(kept(token)).execute(&self.writer).await?)
        });
        let closed = closed.await;
        self.keep_room().await;
        closed.map(drop)
    }
}
