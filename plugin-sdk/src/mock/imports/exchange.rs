//! `exchange`.

use std::time::Duration;

use super::super::WORLD;
use super::super::exchange::check_header;
use crate::policy::{Field, Header};

pub(crate) fn request_field(field: &Field) -> Option<String> {
    WORLD.with_borrow(|world| world.exchange.request(field))
}

pub(crate) fn request_headers() -> Vec<Header> {
    WORLD.with_borrow(|world| world.exchange.request_headers())
}

pub(crate) fn request_header_values(name: &str) -> Vec<String> {
    WORLD.with_borrow(|world| world.exchange.request_values(name))
}

pub(crate) fn has_body() -> bool {
    WORLD.with_borrow(|world| world.exchange.has_body)
}

pub(crate) fn response_header(name: &str) -> Option<String> {
    WORLD.with_borrow(|world| world.exchange.response(name))
}

pub(crate) fn set_request_header(name: &str, value: &str) -> Result<(), String> {
    check_header(name, value)?;
    WORLD.with_borrow_mut(|world| world.exchange.set_request(Field::Header(name.to_owned()), value));
    Ok(())
}

pub(crate) fn add_request_header(name: &str, value: &str) -> Result<(), String> {
    check_header(name, value)?;
    WORLD.with_borrow_mut(|world| world.exchange.add_request(name, value));
    Ok(())
}

pub(crate) fn remove_request_header(name: &str) -> Result<(), String> {
    check_header(name, "")?;
    WORLD.with_borrow_mut(|world| world.exchange.remove_request(name));
    Ok(())
}

pub(crate) fn set_response_header(name: &str, value: &str) -> Result<(), String> {
    check_header(name, value)?;
    WORLD.with_borrow_mut(|world| world.exchange.set_response(name, value));
    Ok(())
}

pub(crate) fn add_response_header(name: &str, value: &str) -> Result<(), String> {
    check_header(name, value)?;
    WORLD.with_borrow_mut(|world| world.exchange.add_response(name, value));
    Ok(())
}

pub(crate) fn remove_response_header(name: &str) -> Result<(), String> {
    check_header(name, "")?;
    WORLD.with_borrow_mut(|world| world.exchange.remove_response(name));
    Ok(())
}

pub(crate) fn set_path(path: &str) -> Result<(), String> {
    let is_clean = path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'?');
    if !is_clean || path.split('/').any(|segment| segment == "..") {
        return Err(format!("`{path}` is not a path"));
    }
    WORLD.with_borrow_mut(|world| world.exchange.set_request(Field::Path, path));
    Ok(())
}

pub(crate) fn set_query(query: Option<&str>) -> Result<(), String> {
    if query.is_some_and(|query| !query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')) {
        return Err(format!("`{}` is not a query", query.unwrap_or_default()));
    }
    WORLD.with_borrow_mut(|world| match query {
        Some(query) => world.exchange.set_request(Field::Query, query),
        None => world.exchange.unset_request(&Field::Query),
    });
    Ok(())
}

pub(crate) fn annotate(key: &str, value: &str) {
    WORLD.with_borrow_mut(|world| world.exchange.annotations.push((key.to_owned(), value.to_owned())));
}

pub(crate) fn eject_instance(duration_ns: u64) -> bool {
    WORLD.with_borrow_mut(|world| {
        if world.may_eject {
            world.exchange.ejections.push(Duration::from_nanos(duration_ns));
        }
        world.may_eject
    })
}
