//! Bodies that go to the disk as they come.

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::App;
use super::problem::ApiError;
use crate::digest::hex;
use crate::server::store::new_id;

/// How long a client may send nothing of what it uploads.
const PATIENCE: Duration = Duration::from_secs(60);

/// A file that was uploaded, which is removed when this is dropped.
pub(super) struct Upload {
    file: Temporary,
    /// SHA-256 of its bytes, in hexadecimal.
    pub(super) digest: String,
}

impl Upload {
    /// The file.
    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }
}

/// A file that is removed when this is dropped.
pub(super) struct Temporary(PathBuf);

impl Temporary {
    /// The file at `path`, which need not be there yet.
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Temporary {
    /// Answers with the file, to be saved as `name`; it is removed when the answer was sent, or given up.
    pub(super) async fn send(self, content_type: &'static str, name: &str) -> Result<Response, ApiError> {
        let file = tokio::fs::File::open(&self.0).await?;
        let size = file.metadata().await?.len();
        let stream = stream::try_unfold((file, self), async |(mut file, temporary)| {
            let mut chunk = vec![0; 64 << 10];
            let read = file.read(&mut chunk).await?;
            chunk.truncate(read);
            Ok::<_, std::io::Error>((read > 0).then_some((chunk, (file, temporary))))
        });
        let disposition = HeaderValue::from_str(&format!("attachment; filename=\"{name}\""))
            .map_err(|error| ApiError::internal(error.to_string()))?;
        let headers = HeaderMap::from_iter([
            (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
            (header::CONTENT_LENGTH, size.into()),
            (header::CONTENT_DISPOSITION, disposition),
        ]);
        Ok((headers, Body::from_stream(stream)).into_response())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // What stays behind is removed at the next start.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Receives a body of at most `mebibytes`.
///
/// # Errors
/// A body that is too large or breaks off; a disk that fails or is full.
pub(super) async fn receive(server: &App, body: Body, mebibytes: u64) -> Result<Upload, ApiError> {
    let most = mebibytes.saturating_mul(1 << 20);
    let too_large = || {
        ApiError::too_large(format!(
            "the file has more than {mebibytes} MiB; make it smaller, or let whoever hosts the server allow more"
        ))
    };
    // Who says how much it is need not send that much first.
    if body.size_hint().lower() > most {
        return Err(too_large());
    }
    let temporary = Temporary::new(server.store.incoming().join(new_id().to_string()));
    let mut file = tokio::fs::File::create(temporary.path()).await?;
    let mut digest = Sha256::new();
    let mut size = 0;
    let mut body = body.into_data_stream();
    while let Some(chunk) = tokio::time::timeout(PATIENCE, body.next())
        .await
        .map_err(|_| ApiError::invalid("the upload has stopped; send it again"))?
    {
        let chunk = chunk.map_err(|error| ApiError::invalid(format!("the upload broke off: {error}")))?;
        size += chunk.len() as u64;
        if size > most {
            return Err(too_large());
        }
        digest.update(&chunk);
        file.write_all(&chunk).await?;
    }
    file.flush().await?;
    Ok(Upload { file: temporary, digest: hex(&digest.finalize()) })
}
