//! What the macros need to know of a method, and what they refuse.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::{
    Attribute, Error, Expr, ExprLit, FnArg, GenericArgument, Ident, Lit, Meta, Pat, PathArguments,
    ReceiverKind, Result, ReturnType, Signature, Type, ext::IdentExt, spanned::Spanned,
};

/// A method that can be called.
pub(crate) struct Method {
    pub(crate) name: Ident,
    pub(crate) doc: String,
    pub(crate) read_only: bool,
    pub(crate) callers: String,
    /// The arguments that travel.
    pub(crate) arguments: Vec<(Ident, Type)>,
    /// The arguments of the function, in its order.
    pub(crate) passed: Vec<TokenStream>,
    pub(crate) output: Output,
    pub(crate) cfgs: Vec<Attribute>,
}

/// What a method answers.
pub(crate) struct Output {
    pub(crate) fallible: bool,
    /// None: nothing.
    pub(crate) value: Option<Type>,
}

/// The attributes of ours that stand on a function.
#[derive(Default)]
pub(crate) struct Marks {
    read_only: Option<Span>,
    callers: Option<String>,
    pub(crate) internal: bool,
    pub(crate) on_activate: bool,
    pub(crate) on_deactivate: bool,
    pub(crate) migrate: bool,
}

impl Marks {
    /// Takes our attributes off a function.
    pub(crate) fn take(attributes: &mut Vec<Attribute>) -> Result<Self> {
        let mut marks = Self::default();
        let mut failure = None;
        attributes.retain(|attribute| match marks.mark(attribute) {
            Ok(ours) => !ours,
            Err(error) => {
                failure = Some(error);
                false
            }
        });
        failure.map_or(Ok(marks), Err)
    }

    fn mark(&mut self, attribute: &Attribute) -> Result<bool> {
        let Some(name) = attribute.path().get_ident() else {
            return Ok(false);
        };
        match name.to_string().as_str() {
            "read_only" => self.read_only = Some(attribute.span()),
            "internal" => self.internal = true,
            "on_activate" => self.on_activate = true,
            "on_deactivate" => self.on_deactivate = true,
            "migrate" => self.migrate = true,
            "callers" => {
                let who: Ident = attribute.parse_args()?;
                if who != "clients" && who != "objects" {
                    return Err(Error::new(who.span(), "expected `clients` or `objects`"));
                }
                self.callers = Some(who.to_string());
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Method {
    /// Reads a method, or says why it cannot be called from afar.
    pub(crate) fn read(
        signature: &Signature,
        attributes: &[Attribute],
        marks: &Marks,
        bytes: bool,
    ) -> Result<Self> {
        refuse(signature)?;
        let on_client_gone = signature.ident == "on_client_gone";
        let mut method = Self {
            name: signature.ident.clone(),
            doc: doc(attributes),
            read_only: marks.read_only.is_some(),
            callers: if on_client_gone { "objects".into() } else { "both".into() },
            arguments: Vec::new(),
            passed: Vec::new(),
            output: Output::read(&signature.output),
            cfgs: attributes.iter().filter(|a| a.path().is_ident("cfg")).cloned().collect(),
        };
        if let Some(callers) = &marks.callers {
            method.callers.clone_from(callers);
        }
        for input in &signature.inputs {
            match input {
                FnArg::Receiver(receiver) if method.read_only && is_mutable(&receiver.kind) => {
                    return Err(Error::new(
                        receiver.span(),
                        "a read-only method changes nothing: take `&self`",
                    ));
                }
                FnArg::Receiver(_) => {}
                FnArg::Typed(argument) if is_reference_to(&argument.ty, "Context") => {
                    method.passed.push(quote!(__context));
                }
                FnArg::Typed(argument) => {
                    let name = argument_name(&argument.pat)?;
                    owned(&argument.ty)?;
                    method.passed.push(name.to_token_stream());
                    method.arguments.push((name, (*argument.ty).clone()));
                }
            }
        }
        match bytes && method.arguments.len() > 1 {
            true => Err(Error::new(
                signature.inputs.span(),
                "with `encoding = \"bytes\"` a method has at most one argument",
            )),
            false => Ok(method),
        }
    }

    /// The name by which it is called.
    pub(crate) fn wire_name(&self) -> String {
        self.name.unraw().to_string()
    }

    /// The names of the arguments, for people.
    pub(crate) fn argument_names(&self) -> String {
        let names: Vec<_> =
            self.arguments.iter().map(|(name, _)| format!("`{}`", name.unraw())).collect();
        names.join(", ")
    }
}

impl Output {
    pub(crate) fn read(output: &ReturnType) -> Self {
        let ReturnType::Type(_, output) = output else {
            return Self { fallible: false, value: None };
        };
        let value = |ty: &Type| (!is_unit(ty)).then(|| ty.clone());
        match result_of(output) {
            Some(ty) => Self { fallible: true, value: value(ty) },
            None => Self { fallible: false, value: value(output) },
        }
    }
}

/// The documentation of an item.
pub(crate) fn doc(attributes: &[Attribute]) -> String {
    let mut lines = Vec::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("doc")) {
        if let Meta::NameValue(meta) = &attribute.meta
            && let Expr::Lit(ExprLit { lit: Lit::Str(line), .. }) = &meta.value
        {
            let line = line.value();
            lines.push(line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned());
        }
    }
    lines.join("\n").trim().to_owned()
}

/// Whether a type is `&Name`, by whatever path.
pub(crate) fn is_reference_to(ty: &Type, name: &str) -> bool {
    let Type::Reference(reference) = ty else {
        return false;
    };
    matches!(&*reference.elem, Type::Path(path)
        if path.path.segments.last().is_some_and(|last| last.ident == name))
}

fn refuse(signature: &Signature) -> Result<()> {
    let error = |span, message: &str| Err(Error::new(span, message));
    if let Some(asyncness) = &signature.asyncness {
        let why = "an object runs one turn at a time: leave out `async`, calls wait by themselves";
        return error(asyncness.span(), why);
    }
    if let Some(abi) = &signature.abi {
        return error(abi.span(), "a method that is called from afar has no ABI");
    }
    if let Some(generic) = signature.generics.params.first() {
        let why =
            "a method that is called from afar cannot be generic: what would it be called with?";
        return error(generic.span(), why);
    }
    if let Some(FnArg::Receiver(receiver)) = signature.inputs.first()
        && !matches!(receiver.kind, ReceiverKind::Reference(..))
    {
        let why = "the object outlives its turns: take `&self` or `&mut self`";
        return error(receiver.span(), why);
    }
    Ok(())
}

fn is_mutable(receiver: &ReceiverKind) -> bool {
    matches!(receiver, ReceiverKind::Reference(_, _, Some(_)))
}

fn argument_name(pattern: &Pat) -> Result<Ident> {
    match pattern {
        Pat::Ident(name) if name.subpat.is_none() && name.by_ref.is_none() => {
            Ok(name.ident.clone())
        }
        other => Err(Error::new(
            other.span(),
            "an argument needs a name: callers use it where there are several",
        )),
    }
}

fn owned(ty: &Type) -> Result<()> {
    let why = match ty {
        Type::Reference(reference) => {
            let instead = match &*reference.elem {
                Type::Path(path) if path.path.is_ident("str") => "`String`".to_owned(),
                Type::Slice(slice) => format!("`Vec<{}>`", slice.elem.to_token_stream()),
                other => format!("`{}`", other.to_token_stream()),
            };
            format!("arguments come from afar and are owned (but `&Context`): take {instead}")
        }
        Type::ImplTrait(_) => "an argument needs a type of its own, not `impl Trait`".to_owned(),
        _ => return Ok(()),
    };
    Err(Error::new(ty.span(), why))
}

fn is_unit(ty: &Type) -> bool {
    matches!(ty, Type::Tuple(tuple) if tuple.elems.is_empty())
}

/// The `T` of `Result<T>` and `Result<T, E>`, by whatever path.
fn result_of(ty: &Type) -> Option<&Type> {
    let Type::Path(path) = ty else {
        return None;
    };
    let last = path.path.segments.last().filter(|last| last.ident == "Result")?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else {
        return None;
    };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
}
