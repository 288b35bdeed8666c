//! Rows of `click_events` in the binary form of `COPY`, framed here: no text to escape or to parse.
//!
//! The form is that of PostgreSQL's manual, "COPY, Binary Format": a header, per row the number of
//! fields and each field with its length, a trailer. Every number is big-endian.

use vayro_core::click::ClickRow;

use crate::instant::Instant;

/// The columns of a row in the order [`push_row`] writes them.
macro_rules! click_columns {
    () => {
        "id, link_id, workspace_id, timestamp, class, domain, bot, user_agent, country_code, region, city, \
         device_type, browser, os, language, referer, referer_host, ip_address, trigger, utm_source, \
         utm_medium, utm_campaign, utm_term, utm_content, visitor_id"
    };
}
pub(crate) use click_columns;

/// How many columns those are.
const COLUMN_COUNT: i16 = 25;

/// Signature, flags and the length of an empty header extension.
pub(crate) const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// What ends the data.
pub(crate) const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();

/// Length of a field that is null.
const NULL: i32 = -1;

/// Appends one row.
pub(crate) fn push_row(buffer: &mut Vec<u8>, row: &ClickRow) {
    buffer.extend_from_slice(&COLUMN_COUNT.to_be_bytes());
    push_bytes(buffer, row.id.as_uuid().as_bytes());
    push_bytes(buffer, row.link_id.as_uuid().as_bytes());
    push_bytes(buffer, row.workspace_id.as_uuid().as_bytes());
    push_bytes(buffer, &Instant(row.timestamp).postgres_micros().to_be_bytes());
    push_bytes(buffer, row.class.as_str().as_bytes());
    for text in [
        &row.domain,
        &row.bot,
        &row.user_agent,
        &row.country_code,
        &row.region,
        &row.city,
        &row.device_type,
        &row.browser,
        &row.os,
        &row.language,
        &row.referer,
        &row.referer_host,
        &row.ip_address,
        &row.trigger,
        &row.utm_source,
        &row.utm_medium,
        &row.utm_campaign,
        &row.utm_term,
        &row.utm_content,
    ] {
        push_text(buffer, text);
    }
    match row.visitor_id {
        Some(id) => push_bytes(buffer, &id.to_be_bytes()),
        None => buffer.extend_from_slice(&NULL.to_be_bytes()),
    }
}

/// The empty text is null: "unknown" takes no room.
fn push_text(buffer: &mut Vec<u8>, text: &str) {
    if text.is_empty() {
        buffer.extend_from_slice(&NULL.to_be_bytes());
    } else {
        push_bytes(buffer, text.as_bytes());
    }
}

fn push_bytes(buffer: &mut Vec<u8>, bytes: &[u8]) {
    // A text beyond PostgreSQL's limit of 1 GiB is refused there by this very length.
    let len = i32::try_from(bytes.len()).unwrap_or(i32::MAX);
    buffer.extend_from_slice(&len.to_be_bytes());
    buffer.extend_from_slice(bytes);
}
