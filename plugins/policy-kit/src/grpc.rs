//! Sets of gRPC codes: `UNAVAILABLE,13`.

use serde::Deserialize;
use serde::de::{self, Deserializer};

use crate::values::{List, described};

/// In the order of their numbers.
const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// gRPC codes, a bit for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GrpcCodes(u32);

impl GrpcCodes {
    /// Reads numbers and names.
    ///
    /// # Errors
    /// The item that is neither.
    ///
    /// ```
    /// use sluice_policy_kit::grpc::GrpcCodes;
    ///
    /// let codes = GrpcCodes::parse(["unavailable", "13"]).unwrap();
    /// assert!(codes.contains(14) && codes.contains(13) && !codes.contains(0) && !codes.contains(99));
    /// assert!(GrpcCodes::parse(["17"]).is_err());
    /// ```
    pub fn parse<'a>(items: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut codes = 0;
        for item in items {
            let named = || NAMES.iter().position(|name| name.eq_ignore_ascii_case(item));
            let code = item.parse().ok().filter(|code| *code < NAMES.len()).or_else(named);
            let code = code.ok_or_else(|| format!("`{item}` is not a gRPC code such as `UNAVAILABLE` or `14`"))?;
            codes |= 1 << code;
        }
        Ok(Self(codes))
    }

    /// Whether a code is one of them.
    #[must_use]
    pub fn contains(self, code: u32) -> bool {
        1_u32.checked_shl(code).is_some_and(|bit| self.0 & bit != 0)
    }
}

impl<'de> Deserialize<'de> for GrpcCodes {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let List(items) = List::deserialize(input)?;
        Self::parse(items.iter().map(|item| item.trim())).map_err(de::Error::custom)
    }
}

described! {
    GrpcCodes: "GrpcCodes" = { "type": ["array", "string"], "description": "gRPC codes by number or name" };
}
