//! The model's files: from the browser's cache, or from the server.

use js_sys::Uint8Array;
use mudi_domain::api::{PreviewFile, PreviewModel, SegmenterModel};
use sha2::{Digest, Sha256};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Cache, DedicatedWorkerGlobalScope, ReadableStreamDefaultReader, Response};

/// The cache's name. Its entries are named by digests, so that they never grow old.
const CACHE: &str = "mudi-preview-1";

fn scope() -> DedicatedWorkerGlobalScope {
    js_sys::global().unchecked_into()
}

/// What a failure says.
pub(super) fn words(error: &JsValue) -> String {
    error
        .dyn_ref::<js_sys::Error>()
        .map_or_else(|| format!("{error:?}"), |error| String::from(error.message()))
}

/// The browser's cache; none on pages that were not loaded safely, and in private windows.
async fn cache() -> Option<Cache> {
    let storage = scope().caches().ok()?;
    JsFuture::from(storage.open(CACHE)).await.ok()?.dyn_into().ok()
}

/// Reads an answer, of about `size` bytes, bit by bit; `progress` is told of each.
async fn body(response: &Response, size: u64, progress: &mut impl FnMut(u64)) -> Result<Vec<u8>, JsValue> {
    let Some(stream) = response.body() else { return Ok(Vec::new()) };
    let reader: ReadableStreamDefaultReader = stream.get_reader().dyn_into()?;
    // What grows is copied, and for a moment there twice.
    let mut bytes = Vec::with_capacity(size as usize);
    loop {
        let chunk = JsFuture::from(reader.read()).await?;
        if js_sys::Reflect::get(&chunk, &"done".into())?.is_truthy() {
            return Ok(bytes);
        }
        let part: Uint8Array = js_sys::Reflect::get(&chunk, &"value".into())?.dyn_into()?;
        progress(u64::from(part.length()));
        bytes.extend(part.to_vec());
    }
}

async fn fetch(address: &str) -> Result<Response, String> {
    let response = JsFuture::from(scope().fetch_with_str(address)).await;
    let response: Response =
        response.and_then(JsCast::dyn_into).map_err(|_| "the server does not answer".to_owned())?;
    if response.ok() { Ok(response) } else { Err(format!("the server answers {}", response.status())) }
}

fn is(bytes: &[u8], sha256: &str) -> bool {
    let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    digest == sha256
}

/// What the cache calls the content of that digest.
fn key(sha256: &str) -> String {
    format!("/preview-weights/{sha256}")
}

/// Bytes of those of `files` that the cache does not hold.
pub(super) async fn not_here(files: &[PreviewFile]) -> u64 {
    let cache = cache().await;
    let mut bytes = 0;
    for file in files {
        let kept = match &cache {
            Some(cache) => JsFuture::from(cache.match_with_str(&key(&file.sha256))).await.ok(),
            None => None,
        };
        if kept.is_none_or(|kept| kept.is_undefined()) {
            bytes += file.bytes;
        }
    }
    bytes
}

/// One file of a model, which the API has in `folder`. What the cache holds is checked, too: disks err.
async fn file(
    folder: &str,
    PreviewFile { sha256, bytes: size, .. }: &PreviewFile,
    cache: Option<&Cache>,
    progress: &mut impl FnMut(u64),
) -> Result<Vec<u8>, String> {
    let key = key(sha256);
    if let Some(cache) = cache {
        let kept = JsFuture::from(cache.match_with_str(&key)).await;
        if let Some(kept) = kept.ok().and_then(|kept| kept.dyn_into::<Response>().ok()) {
            let mut received = 0;
            match body(&kept, *size, &mut |bytes| received += bytes).await {
                Ok(bytes) if is(&bytes, sha256) => {
                    progress(received);
                    return Ok(bytes);
                }
                _ => {}
            }
        }
    }
    let response = fetch(&format!("{folder}/{sha256}")).await?;
    let bytes = body(&response, *size, progress).await.map_err(|error| words(&error))?;
    if !is(&bytes, sha256) {
        return Err("a file of the model came damaged; load the page again".to_owned());
    }
    if let Some(cache) = cache {
        let copy = Uint8Array::from(bytes.as_slice());
        if let Ok(response) = Response::new_with_opt_buffer_source(Some(&copy)) {
            // A full disk only means that the file is fetched again next time.
            let _ = JsFuture::from(cache.put_with_str(&key, &response)).await;
        }
    }
    Ok(bytes)
}

/// Files of a model, which the API has in `folder`; `progress` is told of each bit.
async fn files(
    folder: &str,
    wanted: &[PreviewFile],
    progress: &mut impl FnMut(u64),
) -> Result<mudi_preview::Files, String> {
    let cache = cache().await;
    let mut files = mudi_preview::Files::new();
    for wanted in wanted {
        files.insert(wanted.name.clone(), file(folder, wanted, cache.as_ref(), progress).await?);
    }
    Ok(files)
}

/// The files of the segmenter's decoder. `progress` gets the bytes that are here, and all of them.
pub(super) async fn of_segmenter(
    project: &str,
    model: &SegmenterModel,
    mut progress: impl FnMut(u64, u64),
) -> Result<mudi_preview::Files, String> {
    let total = model.files.iter().map(|file| file.bytes).sum::<u64>();
    let mut received = 0;
    let mut count = |bytes: u64| {
        received += bytes;
        progress(received.min(total), total);
    };
    files(&format!("{project}/segmenter/files"), &model.files, &mut count).await
}

/// Those files of a model of previews.
pub(super) async fn of_preview(project: &str, wanted: &[PreviewFile]) -> Result<mudi_preview::Files, String> {
    files(&format!("{project}/preview/files"), wanted, &mut |_| ()).await
}

/// What the server answers at `address`. The browser keeps it for as long as the server says that it is the same.
pub(super) async fn fetched(address: &str) -> Result<Vec<u8>, String> {
    let response = fetch(address).await?;
    body(&response, 0, &mut |_| ()).await.map_err(|error| words(&error))
}

/// All files of the model, and its LoRA's bytes with alpha. `progress` gets the bytes that are here, and all of them.
pub(super) async fn all(
    project: &str,
    model: &PreviewModel,
    mut progress: impl FnMut(u64, u64),
) -> Result<(mudi_preview::Files, Option<(Vec<u8>, f32)>), String> {
    let of_lora = model.lora.as_ref().map_or(0, |lora| lora.bytes);
    let total = model.files.iter().map(|file| file.bytes).sum::<u64>() + of_lora;
    let mut received = 0;
    let mut count = |bytes: u64| {
        received += bytes;
        progress(received.min(total), total);
    };
    let files = files(&format!("{project}/preview/files"), &model.files, &mut count).await?;
    let lora = match &model.lora {
        Some(lora) => {
            let response = fetch(&format!("{project}/runs/{}/weights", lora.run)).await?;
            let bytes = body(&response, lora.bytes, &mut count).await.map_err(|error| words(&error))?;
            Some((bytes, lora.alpha as f32))
        }
        None => None,
    };
    Ok((files, lora))
}
