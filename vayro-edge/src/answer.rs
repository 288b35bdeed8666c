//! Writes answers of our own, in as few bytes and frames as the protocol allows.

use bytes::Bytes;
use http::header::{CONNECTION, DATE, STRICT_TRANSPORT_SECURITY};
use http::{HeaderName, HeaderValue, Method};
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use vayro_core::visit::Head;

use crate::pages::Form;
use crate::shared::Shared;

/// Sends an answer that is nothing but its header.
pub(crate) async fn header(
    shared: &Shared,
    session: &mut ServerSession,
    header: Box<ResponseHeader>,
) -> pingora::Result<()> {
    write(shared, session, header, None).await
}

/// Sends one of our pages; to HEAD without its body.
pub(crate) async fn page(shared: &Shared, session: &mut ServerSession, form: &Form) -> pingora::Result<()> {
    let is_head = session.req_header().method == Method::HEAD;
    let body = Some(form.body.clone()).filter(|body| !body.is_empty() && !is_head);
    write(shared, session, Box::new(form.header.clone()), body).await
}

/// Makes the header of one of our answers, without values for `Date` and `Connection`.
///
/// # Panics
///
/// Never: names and values are valid already, and statuses are ours.
pub(crate) fn header_of(head: &Head) -> ResponseHeader {
    let mut header = header_without_places(head);
    add_places(&mut header);
    header
}

/// Like [`header_of`], before [`add_places`].
pub(crate) fn header_without_places(head: &Head) -> ResponseHeader {
    // Without a case map: ours are written as they are and cost no second table. Room for all headers, so that values
    // which differ are put into their places instead of growing a copy.
    let room = head.headers.len() + PLACES.len();
    let mut header = ResponseHeader::build_no_case(head.status, Some(room)).expect("our statuses are valid");
    for (name, value) in head.headers.iter().cloned() {
        header.insert_header(name, value).expect("names and values are valid");
    }
    header
}

/// Adds the headers whose values Pingora puts in.
pub(crate) fn add_places(header: &mut ResponseHeader) {
    for name in PLACES {
        header.insert_header(name, HeaderValue::from_static("")).expect("names and values are valid");
    }
}

const PLACES: [HeaderName; 2] = [DATE, CONNECTION];

/// Writes an answer that has its `Content-Length`. Without one HTTP/1 would close the connection to mark
/// the end, and Pingora's error answers close it always.
async fn write(
    shared: &Shared,
    session: &mut ServerSession,
    mut header: Box<ResponseHeader>,
    body: Option<Bytes>,
) -> pingora::Result<()> {
    if is_tls(session) {
        add_hsts(shared, &mut header)?;
    }
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

/// Adds `Strict-Transport-Security` if the settings want it; the connection must be TLS.
pub(crate) fn add_hsts(shared: &Shared, header: &mut ResponseHeader) -> pingora::Result<()> {
    if let Some(hsts) = &shared.hsts {
        header.insert_header(STRICT_TRANSPORT_SECURITY, hsts.clone())?;
    }
    Ok(())
}

/// Tells whether the connection itself is TLS; what a proxy in front claims does not count here.
pub(crate) fn is_tls(session: &ServerSession) -> bool {
    session.digest().is_some_and(|digest| digest.ssl_digest.is_some())
}
