//! What stands in the brackets of `#[object(…)]` and `#[interface(…)]`.

use proc_macro2::TokenStream;
use syn::{
    Error, Expr, ExprLit, Lit, LitBool, LitInt, LitStr, Meta, Result, Token, parse::Parser,
    punctuated::Punctuated, spanned::Spanned,
};

/// What stands in the brackets.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) durability: Option<LitStr>,
    pub(crate) activation: Option<LitStr>,
    pub(crate) encoding: Option<LitStr>,
    pub(crate) revision: Option<LitStr>,
    pub(crate) type_name: Option<LitStr>,
    pub(crate) exports: Option<LitBool>,
    pub(crate) schema: Option<LitInt>,
    pub(crate) limits: Vec<(String, LitInt)>,
}

const NAMES: &str =
    "durability, activation, schema, revision, type_name, limits(…), encoding, exports";
const LIMITS: [&str; 9] = [
    "cpu_ms",
    "time_ms",
    "memory_bytes",
    "table_elements",
    "payload_bytes",
    "host_calls",
    "log_bytes",
    "mailbox_length",
    "storage_keys",
];

impl Options {
    pub(crate) fn parse(tokens: TokenStream) -> Result<Self> {
        let mut options = Self::default();
        for meta in list(tokens)? {
            options.take(&meta)?;
        }
        Ok(options)
    }

    /// Whether arguments and results are plain bytes.
    pub(crate) fn is_bytes(&self) -> bool {
        self.encoding.as_ref().is_some_and(|encoding| encoding.value() == "bytes")
    }

    fn take(&mut self, meta: &Meta) -> Result<()> {
        let Some(name) = meta.path().get_ident() else {
            return Err(unknown(meta));
        };
        match name.to_string().as_str() {
            "durability" => self.durability = word(meta, &["volatile", "periodic", "durable"])?,
            "activation" => self.activation = word(meta, &["on-call", "explicit"])?,
            "encoding" => self.encoding = word(meta, &["json", "bytes"])?,
            "revision" => self.revision = Some(string(meta)?),
            "exports" => self.exports = Some(boolean(meta)?),
            "type_name" => self.type_name = Some(type_name(meta)?),
            "schema" => {
                let schema = integer(meta)?;
                schema.base10_parse::<u32>()?;
                self.schema = Some(schema);
            }
            "limits" => {
                for limit in list(meta.require_list()?.tokens.clone())? {
                    self.limits.push(limit_of(&limit)?);
                }
            }
            _ => return Err(unknown(meta)),
        }
        Ok(())
    }
}

fn list(tokens: TokenStream) -> Result<Punctuated<Meta, Token![,]>> {
    Punctuated::parse_terminated.parse2(tokens)
}

fn unknown(meta: &Meta) -> Error {
    Error::new(meta.path().span(), format!("no such option; known are {NAMES}"))
}

fn limit_of(meta: &Meta) -> Result<(String, LitInt)> {
    let known = meta.path().get_ident().map(ToString::to_string);
    let known = known.filter(|name| LIMITS.contains(&name.as_str())).ok_or_else(|| {
        Error::new(meta.path().span(), format!("no such limit; known are {}", LIMITS.join(", ")))
    })?;
    let limit = integer(meta)?;
    match limit.base10_parse::<u64>()? {
        0 => Err(Error::new(limit.span(), "a limit of nothing leaves nothing to run")),
        _ => Ok((known, limit)),
    }
}

fn literal(meta: &Meta) -> Result<&Lit> {
    match &meta.require_name_value()?.value {
        Expr::Lit(ExprLit { lit, .. }) => Ok(lit),
        other => Err(Error::new(other.span(), "expected a literal")),
    }
}

fn string(meta: &Meta) -> Result<LitStr> {
    match literal(meta)? {
        Lit::Str(text) => Ok(text.clone()),
        other => Err(Error::new(other.span(), "expected a string")),
    }
}

fn boolean(meta: &Meta) -> Result<LitBool> {
    match literal(meta)? {
        Lit::Bool(boolean) => Ok(boolean.clone()),
        other => Err(Error::new(other.span(), "expected `true` or `false`")),
    }
}

fn integer(meta: &Meta) -> Result<LitInt> {
    match literal(meta)? {
        Lit::Int(number) => Ok(number.clone()),
        other => Err(Error::new(other.span(), "expected a whole number")),
    }
}

fn word(meta: &Meta, known: &[&str]) -> Result<Option<LitStr>> {
    let word = string(meta)?;
    if known.contains(&word.value().as_str()) {
        return Ok(Some(word));
    }
    Err(Error::new(word.span(), format!("expected one of {}", known.join(", "))))
}

fn type_name(meta: &Meta) -> Result<LitStr> {
    let name = string(meta)?;
    match is_type_name(&name.value()) {
        true => Ok(name),
        false => Err(Error::new(
            name.span(),
            "a type's name is a letter and up to 63 letters, digits, `_` or `-`",
        )),
    }
}

/// Whether the platform takes it for a type's name.
pub(crate) fn is_type_name(name: &str) -> bool {
    let rest = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(rest)
}
