//! The model's files: from the browser's cache, or from the server.

use js_sys::Uint8Array;
use mudi_domain::api::{PreviewFile, PreviewModel, SegmenterModel};
use sha2::{Digest, Sha256};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    Cache, DedicatedWorkerGlobalScope, ReadableStreamDefaultReader, Request, RequestInit, Response,
};

/// The cache of the model for previews. Entries of caches are named by digests, so that they never grow old.
const PREVIEWS: &str = "mudi-preview-1";
/// That of the segmenter's decoder.
const SEGMENTERS: &str = "mudi-segmenter-1";

fn scope() -> DedicatedWorkerGlobalScope {
    js_sys::global().unchecked_into()
}

/// What a failure says.
fn words(error: &JsValue) -> String {
    error
        .dyn_ref::<js_sys::Error>()
        .map_or_else(|| format!("{error:?}"), |error| String::from(error.message()))
}

/// The browser's cache; none on pages that were not loaded safely, and in private windows.
async fn cache(name: &str) -> Option<Cache> {
    // On a page that was not, there is no such thing, and asking it would be the program's end.
    let storage = scope().caches().ok().filter(|storage| !storage.is_undefined())?;
    JsFuture::from(storage.open(name)).await.ok()?.dyn_into().ok()
}

/// Lets go of what `cache` holds of models that the server had before: a server has one at a time.
async fn tidy(cache: &Cache, model: &[PreviewFile]) {
    let Ok(known) = JsFuture::from(cache.keys()).await else { return };
    for request in js_sys::Array::from(&known).iter().filter_map(|key| key.dyn_into::<Request>().ok()) {
        let address = request.url();
        if !model.iter().any(|file| address.ends_with(&file.sha256)) {
            // What stays takes room, and nothing else.
            let _ = JsFuture::from(cache.delete_with_request(&request)).await;
        }
    }
}

/// Reads an answer, of about `size` bytes, bit by bit; `progress` is told of each.
async fn body(response: &Response, size: u64, progress: &mut impl FnMut(u64)) -> Result<Vec<u8>, String> {
    // What grows is copied, and for a moment there twice. Where there is no room a program would end without a word.
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size as usize).map_err(|_| {
        "this page has no memory left for it; close other pages and programs, and try again".to_owned()
    })?;
    read(response, &mut bytes, progress)
        .await
        .map_err(|error| format!("the connection broke ({}); check it, and try again", words(&error)))?;
    Ok(bytes)
}

async fn read(
    response: &Response,
    bytes: &mut Vec<u8>,
    progress: &mut impl FnMut(u64),
) -> Result<(), JsValue> {
    let Some(stream) = response.body() else { return Ok(()) };
    let reader: ReadableStreamDefaultReader = stream.get_reader().dyn_into()?;
    loop {
        let chunk = JsFuture::from(reader.read()).await?;
        if js_sys::Reflect::get(&chunk, &"done".into())?.is_truthy() {
            return Ok(());
        }
        let part: Uint8Array = js_sys::Reflect::get(&chunk, &"value".into())?.dyn_into()?;
        progress(u64::from(part.length()));
        bytes.extend(part.to_vec());
    }
}

/// What the server answers at `address`; `anew` where what the browser keeps of it is of no use.
async fn fetch(address: &str, anew: bool) -> Result<Response, String> {
    let init = RequestInit::new();
    if anew {
        let _ = js_sys::Reflect::set(&init, &"cache".into(), &"reload".into());
    }
    let response = JsFuture::from(scope().fetch_with_str_and_init(address, &init)).await;
    let response: Response = response
        .and_then(JsCast::dyn_into)
        .map_err(|_| "the server does not answer; check the connection, and try again".to_owned())?;
    match response.status() {
        _ if response.ok() => Ok(response),
        401 | 403 => Err("the server does not let you have it any more; load the page again".to_owned()),
        404 => Err("the server does not have it any more; load the page again".to_owned()),
        status => Err(format!("the server answers {status}; try again later")),
    }
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
    let cache = cache(PREVIEWS).await;
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
    let address = format!("{folder}/{sha256}");
    let mut bytes = body(&fetch(&address, false).await?, *size, progress).await?;
    if !is(&bytes, sha256) {
        // The first may have come from what the browser keeps by itself, for ever.
        bytes = body(&fetch(&address, true).await?, *size, &mut |_| ()).await?;
    }
    if !is(&bytes, sha256) {
        return Err(
            "a file of the model arrives damaged; try again, or tell whoever hosts this server".to_owned()
        );
    }
    if let Some(cache) = cache {
        // The answer has a copy of its own. Where there is no room for one, or on the disk, the file is fetched again next time.
        if let Ok(response) = Response::new_with_opt_u8_array(Some(&mut bytes)) {
            let _ = JsFuture::from(cache.put_with_str(&key, &response)).await;
        }
    }
    Ok(bytes)
}

/// The `wanted` of a `model`'s files, which the API has in `folder` and the browser in the cache `kept`; `progress` is told of each bit.
async fn files(
    folder: &str,
    kept: &str,
    model: &[PreviewFile],
    wanted: &[PreviewFile],
    progress: &mut impl FnMut(u64),
) -> Result<mudi_preview::Files, String> {
    let cache = cache(kept).await;
    if let Some(cache) = &cache {
        tidy(cache, model).await;
    }
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
    let all = &model.files;
    files(&format!("{project}/segmenter/files"), SEGMENTERS, all, all, &mut count).await
}

/// The `wanted` files of a model of previews.
pub(super) async fn of_preview(
    project: &str,
    model: &PreviewModel,
    wanted: &[PreviewFile],
) -> Result<mudi_preview::Files, String> {
    files(&format!("{project}/preview/files"), PREVIEWS, &model.files, wanted, &mut |_| ()).await
}

/// What the server answers at `address`. The browser keeps it for as long as the server says that it is the same.
pub(super) async fn fetched(address: &str) -> Result<Vec<u8>, String> {
    body(&fetch(address, false).await?, 0, &mut |_| ()).await
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
    let all = &model.files;
    let files = files(&format!("{project}/preview/files"), PREVIEWS, all, all, &mut count).await?;
    let lora = match &model.lora {
        Some(lora) => {
            let response = fetch(&format!("{project}/runs/{}/weights", lora.run), false).await?;
            Some((body(&response, lora.bytes, &mut count).await?, lora.alpha as f32))
        }
        None => None,
    };
    Ok((files, lora))
}
