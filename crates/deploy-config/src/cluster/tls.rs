//! Encryption to callers, from the arguments of a call and of `enable_ssl`.

use super::TlsSpec;
use super::read::{given, refuse_rest};
use crate::finding::{At, Code, Finding, Report};
use crate::read::{Fields, Read, Spot, label};

/// The arguments of `enable_ssl`, as far as they are given.
#[derive(Default)]
pub(super) struct Ssl {
    trio: [Option<(String, At)>; 3],
    pub(super) leaf: Option<(String, At)>,
    overwrite: Option<At>,
    /// Some argument could not be read; what is absent is not told.
    bad: bool,
}

const TRIO: [&str; 3] = ["ssl_cname", "ssl_cert_pem_file", "ssl_key_pem_file"];

impl Ssl {
    fn text(&mut self, fields: &mut Fields<'_>, key: &str, report: &mut Report) -> Option<(String, At)> {
        match given(fields.text(key, report)) {
            Read::Good(spot) => Some((spot.value.to_owned(), spot.at)),
            Read::Bad => {
                self.bad = true;
                None
            }
            Read::Absent => None,
        }
    }

    pub(super) fn take_trio(&mut self, fields: &mut Fields<'_>, report: &mut Report) {
        for (index, key) in TRIO.into_iter().enumerate() {
            if let Some(found) = self.text(fields, key, report) {
                self.trio[index] = Some(found);
            }
        }
    }

    pub(super) fn take_nested(&mut self, fields: &mut Fields<'_>, report: &mut Report) {
        let Some((json, at)) = fields.take("enable_ssl") else { return };
        let Some(mut nested) = Fields::open(json, at, report) else { return };
        self.take_trio(&mut nested, report);
        self.leaf = self.text(&mut nested, "leaf_domain_label", report);
        if let Read::Good(Spot { value: true, at }) = nested.boolean("overwrite_existing_domain", report) {
            self.overwrite = Some(at);
        }
        refuse_rest(&nested, &SSL_KEYS, report);
    }

    /// Where the first of the three stands.
    fn first(&self) -> Option<&At> {
        self.trio.iter().flatten().next().map(|(_, at)| at)
    }

    /// All three or none; told once.
    pub(super) fn check_trio(&mut self, report: &mut Report) {
        let absent: Vec<_> =
            TRIO.iter().zip(&self.trio).filter(|(_, given)| given.is_none()).map(|(key, _)| *key).collect();
        let Some(at) = self.first().filter(|_| !absent.is_empty() && !self.bad) else { return };
        report.push(
            Finding::new(
                Code::TlsIncomplete,
                at,
                format!("{} missing beside {}", absent.join(" and "), label(at)),
            )
            .found(format!("{} of 3", 3 - absent.len()))
            .allowed("ssl_cname, ssl_cert_pem_file and ssl_key_pem_file together")
            .remedy("add what is missing"),
        );
        self.bad = true;
    }

    pub(super) fn finish(mut self, report: &mut Report) -> TlsSpec {
        let first = self.first().cloned();
        if let (Some(_), Some((_, at))) = (&first, &self.leaf) {
            report.push(
                Finding::new(
                    Code::TlsConflict,
                    at,
                    "a certificate of one's own and a domain label exclude each other",
                )
                .found("both")
                .allowed("ssl_cname with its two files, or leaf_domain_label")
                .remedy("remove one of them"),
            );
            return TlsSpec::Off;
        }
        self.check_trio(report);
        match (&self.overwrite, &first, &self.leaf) {
            (Some(at), Some(_), _) => {
                report.push(overwrite(Code::TlsOverwrite, at, "beside a certificate of one's own"))
            }
            (Some(at), None, None) if !self.bad => {
                report.push(overwrite(Code::Ignored, at, "without a domain label"))
            }
            _ => {}
        }
        let [cname, cert, key] = self.trio;
        match (cname, cert, key, self.leaf) {
            (Some((cname, _)), Some((cert_file, _)), Some((key_file, _)), _) => {
                TlsSpec::Certificate { cname, cert_file, key_file }
            }
            (.., Some((label, _))) => TlsSpec::LeafLabel { label, overwrite: self.overwrite.is_some() },
            _ => TlsSpec::Off,
        }
    }
}

fn overwrite(code: Code, at: &At, why: &str) -> Finding {
    Finding::new(code, at, format!("there is no domain label to overwrite {why}"))
        .found("overwrite_existing_domain")
        .allowed("overwrite_existing_domain with leaf_domain_label")
        .remedy("remove overwrite_existing_domain")
}

const SSL_KEYS: [&str; 5] =
    ["ssl_cname", "ssl_cert_pem_file", "ssl_key_pem_file", "leaf_domain_label", "overwrite_existing_domain"];
