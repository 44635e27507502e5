//! `#[object]`: the exports, the description, the dispatch and the reference of an impl block.

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::{
    Error, FnArg, ImplItem, ItemImpl, Result, Signature, Type, ext::IdentExt, parse_quote,
    spanned::Spanned,
};

use crate::{
    method::{self, Marks, Method, Output},
    options::{Options, is_type_name},
    reference::{self, Reference},
};

pub(crate) fn expand(options: TokenStream, item: TokenStream) -> TokenStream {
    let mut item: ItemImpl = match syn::parse2(item) {
        Ok(item) => item,
        Err(error) => {
            let why = format!("#[object] stands on `impl Type {{ … }}`: {error}");
            return Error::new(error.span(), why).to_compile_error();
        }
    };
    let written = write(options, &mut item).unwrap_or_else(|error| error.to_compile_error());
    let quiet = reference::quiet_methods();
    quote!(#quiet #item #written)
}

/// What the impl block holds for us.
#[derive(Default)]
struct Parts {
    methods: Vec<Method>,
    on_activate: Option<TokenStream>,
    on_deactivate: Option<TokenStream>,
    migrate: Option<Ident>,
}

fn write(options: TokenStream, item: &mut ItemImpl) -> Result<TokenStream> {
    let parts = read(item, &options)?;
    let options = Options::parse(options)?;
    if let Some(generic) = item.generics.params.first() {
        return Err(Error::new(generic.span(), "an object's type cannot be generic"));
    }
    let name = struct_name(&item.self_ty)?;
    let type_name = match &options.type_name {
        Some(name) => name.value(),
        None => name.unraw().to_string(),
    };
    if !is_type_name(&type_name) {
        return Err(Error::new(name.span(), "no name for a type: say `type_name = \"…\"`"));
    }
    let (structs, references) = Reference {
        visibility: &parse_quote!(pub),
        name,
        type_name: &type_name,
        methods: &parts.methods,
        bytes: options.is_bytes(),
    }
    .write();
    let arguments = reference::arguments(&parts.methods);
    let object = object(&options, &type_name, item, &parts);
    let exports = options.exports.as_ref().is_none_or(|exports| exports.value);
    let export = exports.then(|| quote!(::wasmverse_sdk::export!(#name);));
    let quiet = reference::quiet();
    Ok(quote! {
        #structs

        #quiet
        const _: () = {
            #arguments
            #references
            #object
        };

        #export
    })
}

/// Reads all functions, so that our attributes are off all of them and every mistake is reported.
fn read(item: &mut ItemImpl, options: &TokenStream) -> Result<Parts> {
    let bytes = Options::parse(options.clone()).is_ok_and(|options| options.is_bytes());
    let mut parts = Parts::default();
    let mut failure: Option<Error> = None;
    for item in &mut item.items {
        if let ImplItem::Fn(function) = item
            && let Err(error) = Marks::take(&mut function.attrs)
                .and_then(|marks| parts.take(&function.sig, &function.attrs, &marks, bytes))
        {
            match &mut failure {
                Some(failure) => failure.combine(error),
                None => failure = Some(error),
            }
        }
    }
    failure.map_or(Ok(parts), Err)
}

impl Parts {
    fn take(
        &mut self,
        signature: &Signature,
        attributes: &[syn::Attribute],
        marks: &Marks,
        bytes: bool,
    ) -> Result<()> {
        let name = &signature.ident;
        let fallible = Output::read(&signature.output).fallible;
        if marks.migrate {
            self.migrate = Some(name.clone());
        } else if marks.on_activate {
            let passed = hook_arguments(signature, false)?;
            let call = quote!(object.#name(#(#passed),*));
            self.on_activate = Some(if fallible { quote!(#call?;) } else { quote!(#call;) });
        } else if marks.on_deactivate {
            let passed = hook_arguments(signature, true)?;
            self.on_deactivate = Some(quote!(let _ = self.#name(#(#passed),*);));
        } else if matches!(signature.inputs.first(), Some(FnArg::Receiver(_))) && !marks.internal {
            self.methods.push(Method::read(signature, attributes, marks, bytes)?);
        }
        Ok(())
    }
}

fn hook_arguments(signature: &Signature, why: bool) -> Result<Vec<TokenStream>> {
    let mut passed = Vec::new();
    for input in &signature.inputs {
        match input {
            FnArg::Receiver(_) => {}
            FnArg::Typed(input) if method::is_reference_to(&input.ty, "Context") => {
                passed.push(quote!(__context));
            }
            FnArg::Typed(input) if why && method::is_reference_to(&input.ty, "str") => {
                passed.push(quote!(__why));
            }
            FnArg::Typed(input) => {
                let known = if why { "`&Context` and `&str` (why)" } else { "`&Context`" };
                let message = format!("this hook takes `&mut self` and at most {known}");
                return Err(Error::new(input.ty.span(), message));
            }
        }
    }
    Ok(passed)
}

fn struct_name(ty: &Type) -> Result<&Ident> {
    if let Type::Path(path) = ty
        && let Some(last) = path.path.segments.last()
        && last.arguments.is_none()
    {
        return Ok(&last.ident);
    }
    Err(Error::new(ty.span(), "an object is a struct or an enum without parameters"))
}

fn object(options: &Options, type_name: &str, item: &ItemImpl, parts: &Parts) -> TokenStream {
    let ty = &item.self_ty;
    let schema = options.schema.as_ref().map_or_else(|| quote!(1), |schema| quote!(#schema));
    let restore = quote_spanned!(ty.span() => ::wasmverse_sdk::__private::restore::<Self>);
    let save = quote_spanned!(ty.span() => ::wasmverse_sdk::__private::save::<Self>);
    let describe = describe(options, &method::doc(&item.attrs), &parts.methods);
    let arms = parts.methods.iter().map(|method| arm(method, options.is_bytes()));
    let Parts { on_activate, on_deactivate, migrate, .. } = parts;
    let migrate = match migrate {
        Some(name) => quote!(::core::option::Option::Some(Self::#name)),
        None => quote!(::core::option::Option::None),
    };
    quote! {
        impl ::wasmverse_sdk::Object for #ty {
            const TYPE: &'static str = #type_name;
            const SCHEMA: u32 = #schema;

            fn describe() -> ::std::string::String {
                #describe
            }

            fn activate(
                __context: &::wasmverse_sdk::Context,
                state: ::core::option::Option<::wasmverse_sdk::State>,
            ) -> ::wasmverse_sdk::Result<Self> {
                let mut object = #restore(state, #migrate)?;
                #on_activate
                ::core::result::Result::Ok(object)
            }

            fn handle(
                &mut self,
                __context: &::wasmverse_sdk::Context,
                __method: &str,
                __payload: ::std::vec::Vec<u8>,
            ) -> ::wasmverse_sdk::Result<::std::vec::Vec<u8>> {
                match __method {
                    #(#arms)*
                    _ => ::core::result::Result::Err(::wasmverse_sdk::Error::invalid_argument(
                        ::std::format!("{} has no method `{__method}`", Self::TYPE),
                    )),
                }
            }

            fn snapshot(&self) -> ::wasmverse_sdk::Result<::wasmverse_sdk::State> {
                #save(self)
            }

            fn deactivate(&mut self, __context: &::wasmverse_sdk::Context, __why: &str) {
                #on_deactivate
            }
        }
    }
}

fn describe(options: &Options, doc: &str, methods: &[Method]) -> TokenStream {
    let word = |option: &Option<syn::LitStr>, default: &str| {
        option.as_ref().map_or_else(|| default.to_owned(), syn::LitStr::value)
    };
    let durability = word(&options.durability, "volatile");
    let encoding = word(&options.encoding, "json");
    let activation = word(&options.activation, "on-call");
    let revision = match &options.revision {
        Some(revision) => quote!(#revision),
        None => quote!(::core::env!("CARGO_PKG_VERSION")),
    };
    let limits = options.limits.iter().map(|(name, limit)| quote!((#name, #limit)));
    let bytes = options.is_bytes();
    let methods = methods.iter().map(|method| description_of(method, bytes));
    quote! {
        ::wasmverse_sdk::__private::Type {
            name: Self::TYPE,
            revision: #revision,
            schema: Self::SCHEMA,
            durability: #durability,
            encoding: #encoding,
            activation: #activation,
            doc: #doc,
            limits: &[#(#limits),*],
            methods: &[#(#methods),*],
        }
        .to_json()
    }
}

fn description_of(method: &Method, bytes: bool) -> TokenStream {
    let Method { doc, callers, cfgs, .. } = method;
    let name = method.wire_name();
    let mode = if method.read_only { "read-only" } else { "write" };
    let none = quote!(::core::option::Option::None);
    let some = |direction: TokenStream, ty: TokenStream| {
        quote_spanned! { ty.span() =>
            ::core::option::Option::Some(
                ::wasmverse_sdk::__private::description::#direction::<#ty> as fn() -> _
            )
        }
    };
    let input = match &method.arguments[..] {
        [] => none.clone(),
        _ if bytes => none.clone(),
        [(_, ty)] => some(quote!(input), quote!(#ty)),
        _ => {
            let arguments = reference::arguments_name(method);
            some(quote!(input), quote!(#arguments))
        }
    };
    let output = match &method.output.value {
        Some(ty) if !bytes => some(quote!(output), quote!(#ty)),
        _ => none,
    };
    quote! {
        #(#cfgs)*
        ::wasmverse_sdk::__private::Method {
            name: #name,
            mode: #mode,
            callers: #callers,
            doc: #doc,
            input: #input,
            output: #output,
        }
    }
}

/// The branch of the dispatch for one method.
fn arm(method: &Method, bytes: bool) -> TokenStream {
    let Method { name, passed, cfgs, .. } = method;
    let wire_name = method.wire_name();
    let names = method.argument_names();
    let codec = quote!(::wasmverse_sdk::__private::codec);
    let read = match &method.arguments[..] {
        [] => quote!(#codec::no_argument(__method, &__payload)?;),
        [(name, ty)] if bytes => quote!(let #name: #ty = ::core::convert::From::from(__payload);),
        [(name, ty)] => {
            let read = quote_spanned!(ty.span() => #codec::one_argument::<#ty>);
            quote!(let #name = #read(__method, #names, &__payload)?;)
        }
        several => {
            let arguments = reference::arguments_name(method);
            let fields = several.iter().map(|(name, _)| name);
            quote! {
                let #arguments { #(#fields),* } = #codec::arguments(__method, #names, &__payload)?;
            }
        }
    };
    let question = method.output.fallible.then(|| quote!(?));
    let call = quote!(self.#name(#(#passed),*)#question);
    let answer = match &method.output.value {
        None => quote!({ #call; ::core::result::Result::Ok(::std::vec::Vec::new()) }),
        Some(_) if bytes => quote!(::core::result::Result::Ok(::core::convert::Into::into(#call))),
        Some(ty) => {
            let write = quote_spanned!(ty.span() => #codec::write::<#ty>);
            quote!(#write(&#call))
        }
    };
    quote! {
        #(#cfgs)*
        #wire_name => {
            #read
            #answer
        }
    }
}
