//! Writes answers of our own, in as few bytes and frames as the protocol allows.

use bytes::Bytes;
use http::Method;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, DATE, LOCATION};
use http::{HeaderValue, StatusCode};
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;

use crate::pages::Form;

/// Sends an answer that is nothing but its header.
pub(crate) async fn header(session: &mut ServerSession, header: Box<ResponseHeader>) -> pingora::Result<()> {
    write(session, header, None).await
}

/// Sends one of our pages; to HEAD without its body.
pub(crate) async fn page(session: &mut ServerSession, form: &Form) -> pingora::Result<()> {
    let is_head = session.req_header().method == Method::HEAD;
    let body = Some(form.body.clone()).filter(|body| !body.is_empty() && !is_head);
    write(session, Box::new(form.header.clone()), body).await
}

/// Sends the visitor to `location`, which is ours and not counted.
pub(crate) async fn lead_to(
    session: &mut ServerSession,
    status: StatusCode,
    location: HeaderValue,
    cache_control: &'static str,
) -> pingora::Result<()> {
    let mut header = Box::new(ResponseHeader::build_no_case(status, Some(5))?);
    header.insert_header(LOCATION, location)?;
    header.insert_header(CACHE_CONTROL, HeaderValue::from_static(cache_control))?;
    header.insert_header(CONTENT_LENGTH, HeaderValue::from_static("0"))?;
    header.insert_header(DATE, HeaderValue::from_static(""))?;
    header.insert_header(CONNECTION, HeaderValue::from_static(""))?;
    write(session, header, None).await
}

/// Writes an answer that has its `Content-Length`. Without one HTTP/1 would close the connection to mark
/// the end, and Pingora's error answers close it always.
async fn write(
    session: &mut ServerSession,
    header: Box<ResponseHeader>,
    body: Option<Bytes>,
) -> pingora::Result<()> {
    let is_last = body.is_none();
    match &mut *session {
        // The session's own method would leave the end of the stream to an empty DATA frame.
        ServerSession::H2(stream) => stream.write_response_header(header, is_last)?,
        session => session.write_response_header(header).await?,
    }
    match body {
        Some(body) => session.write_response_body(body, true).await,
        None => Ok(()),
    }
}
