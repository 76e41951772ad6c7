//! Reading the arguments that create or attach a cluster.

use super::tls::Ssl;
use super::{
    AttachSpec, ClusterPurpose, ClusterRef, LoadBalancer, NetworkSpec, ProvisionSpec, ResourceId, VmSizes,
    size,
};
use crate::finding::{At, Code, Finding, Report};
use crate::json::Json;
use crate::read::{Fields, Read, Spot, label, quoted};
use crate::suggest;

pub(crate) const PURPOSES: [(&str, ClusterPurpose); 2] =
    [("FastProd", ClusterPurpose::FastProd), ("DevTest", ClusterPurpose::DevTest)];

/// The kind of load balancer, before its subnet is known.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Balancer {
    PublicIp,
    Internal,
}

pub(crate) const BALANCERS: [(&str, Balancer); 2] =
    [("PublicIp", Balancer::PublicIp), ("InternalLoadBalancer", Balancer::Internal)];

pub(super) fn provision(json: &Json, sizes: &VmSizes, report: &mut Report) -> Option<ProvisionSpec> {
    let mut fields = Fields::open(json, At::new(String::new(), json.span), report)?;
    // 0 counts as not given.
    let count = match fields.whole("agent_count", (0, u64::from(u32::MAX)), report) {
        Read::Good(Spot { value: 0, .. }) => Read::Absent,
        read => read,
    };
    let vm_size = given(fields.text("vm_size", report));
    let purpose = purpose(&mut fields, report);
    let location = given(fields.text("location", report)).ok().map(str::to_owned);
    let network = network(&mut fields, report);
    let mut ssl = Ssl::default();
    ssl.take_trio(&mut fields, report);
    // This call is checked by itself before that of `enable_ssl` is.
    ssl.check_trio(report);
    ssl.take_nested(&mut fields, report);
    let internal_label = ssl.leaf.is_some();
    let tls = ssl.finish(report);
    let load_balancer = load_balancer(&mut fields, internal_label, report);
    refuse_rest(&fields, &PROVISION_KEYS, report);
    size::check(
        &size::Found { purpose: &purpose, count: &count, vm_size: &vm_size, root: &fields.at },
        sizes,
        report,
    );
    Some(ProvisionSpec {
        agent_count: count
            .ok()
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or(ProvisionSpec::DEFAULT_AGENT_COUNT),
        vm_size: vm_size.ok().unwrap_or(ProvisionSpec::DEFAULT_VM_SIZE).to_owned(),
        purpose: purpose.ok().unwrap_or_default(),
        location,
        network,
        tls,
        load_balancer,
    })
}

pub(super) fn attach(json: &Json, report: &mut Report) -> Option<AttachSpec> {
    let mut fields = Fields::open(json, At::new(String::new(), json.span), report)?;
    let group = given(fields.text("resource_group", report));
    let name = given(fields.text("cluster_name", report));
    let id = given(fields.text("resource_id", report));
    let cluster = cluster(&fields.at, id, group, name, report);
    let purpose = purpose(&mut fields, report);
    if purpose.good() == Some(&ClusterPurpose::DevTest) {
        report.extend(purpose.spot().map(|spot| size::dev_test(&spot.at)));
    }
    let mut ssl = Ssl::default();
    ssl.take_nested(&mut fields, report);
    let internal_label = ssl.leaf.is_some();
    let tls = ssl.finish(report);
    let load_balancer = load_balancer(&mut fields, internal_label, report);
    refuse_rest(&fields, &ATTACH_KEYS, report);
    Some(AttachSpec { cluster: cluster?, purpose: purpose.ok().unwrap_or_default(), tls, load_balancer })
}

/// An empty text counts as not given.
pub(super) fn given(read: Read<&str>) -> Read<&str> {
    match read {
        Read::Good(spot) if spot.value.is_empty() => Read::Absent,
        read => read,
    }
}

fn purpose(fields: &mut Fields<'_>, report: &mut Report) -> Read<ClusterPurpose> {
    choice_or_empty(fields, "cluster_purpose", &PURPOSES, report)
}

fn choice_or_empty<T: Copy>(
    fields: &mut Fields<'_>,
    key: &str,
    choices: &[(&str, T)],
    report: &mut Report,
) -> Read<T> {
    let Read::Good(Spot { value, at }) = given(fields.text(key, report)) else {
        // A text of the wrong type was reported; nothing, or an empty text, is nothing.
        return Read::Absent;
    };
    match crate::read::choice(value, &at, choices) {
        Ok(value) => Read::Good(Spot { value, at }),
        Err(finding) => {
            report.push(finding);
            Read::Bad
        }
    }
}

fn cluster(
    root: &At,
    id: Read<&str>,
    group: Read<&str>,
    name: Read<&str>,
    report: &mut Report,
) -> Option<ClusterRef> {
    let parts = [&group, &name];
    if let Read::Good(Spot { value, at }) = &id {
        let parsed = value.parse::<ResourceId>().map_err(|error| {
            Finding::new(Code::ResourceId, at, error.to_string())
                .found(quoted(value))
                .allowed(ResourceId::FORM)
                .remedy("copy the id from the cluster's properties")
        });
        if let Some(second) = parts.iter().find_map(|read| read.spot()) {
            report.push(
                Finding::new(Code::ClusterNamedTwice, &second.at, "a resource id names the cluster already")
                    .found(format!("resource_id and {}", label(&second.at)))
                    .allowed("resource_id, or resource_group with cluster_name")
                    .remedy(format!("remove {}", label(&second.at))),
            );
        }
        return match parsed {
            Ok(id) => {
                report.extend(id.advice(at));
                Some(ClusterRef::Id(id))
            }
            Err(finding) => {
                report.push(finding);
                None
            }
        };
    }
    let bad = [&id, &group, &name].iter().any(|read| matches!(read, Read::Bad));
    match (group.ok(), name.ok()) {
        (Some(group), Some(name)) => {
            Some(ClusterRef::Named { group: group.to_owned(), name: name.to_owned() })
        }
        _ if bad => None,
        (group, name) => {
            let absent = match (group, name) {
                (Some(_), None) => "cluster_name is missing beside resource_group",
                (None, Some(_)) => "resource_group is missing beside cluster_name",
                _ => "nothing says which cluster is attached",
            };
            report.push(
                Finding::new(Code::ClusterUnnamed, root, absent)
                    .found("no whole name")
                    .allowed("resource_id, or resource_group with cluster_name")
                    .remedy("add what is missing"),
            );
            None
        }
    }
}

// === network ===

const NETWORK: [&str; 6] = [
    "vnet_resourcegroup_name",
    "vnet_name",
    "subnet_name",
    "service_cidr",
    "dns_service_ip",
    "docker_bridge_cidr",
];

fn network(fields: &mut Fields<'_>, report: &mut Report) -> Option<NetworkSpec> {
    let read = NETWORK.map(|key| given(fields.text(key, report)));
    let absent: Vec<_> =
        NETWORK.iter().zip(&read).filter(|(_, read)| read.is_absent()).map(|(key, _)| *key).collect();
    let first = read.iter().find_map(Read::spot)?;
    if !absent.is_empty() {
        report.push(
            Finding::new(
                Code::NetworkIncomplete,
                &first.at,
                format!("{} missing beside {}", absent.join(", "), label(&first.at)),
            )
            .found(format!("{} of 6", 6 - absent.len()))
            .allowed("all six settings of the virtual network, or none")
            .remedy("add what is missing"),
        );
    }
    for (read, looks) in
        [(&read[3], is_cidr as fn(&str) -> bool), (&read[4], is_address), (&read[5], is_cidr)]
    {
        let Some(spot) = read.spot().filter(|spot| !looks(spot.value)) else { continue };
        report.push(
            Finding::new(
                Code::NetworkForm,
                &spot.at,
                format!("{} {} does not look like one", label(&spot.at), quoted(spot.value)),
            )
            .found(quoted(spot.value))
            .allowed("10.0.0.0/16 for a range, 10.0.0.10 for an address")
            .remedy("check the setting"),
        );
    }
    let [group, name, subnet, service_cidr, dns_service_ip, docker_bridge_cidr] =
        read.map(|read| read.ok().map(str::to_owned));
    Some(NetworkSpec {
        group: group?,
        name: name?,
        subnet: subnet?,
        service_cidr: service_cidr?,
        dns_service_ip: dns_service_ip?,
        docker_bridge_cidr: docker_bridge_cidr?,
    })
}

fn is_address(text: &str) -> bool {
    text.parse::<std::net::IpAddr>().is_ok()
}

fn is_cidr(text: &str) -> bool {
    text.split_once('/').is_some_and(|(address, bits)| {
        let most = if address.contains(':') { 128 } else { 32 };
        is_address(address) && bits.parse::<u8>().is_ok_and(|bits| bits <= most)
    })
}

// === load balancer ===

fn load_balancer(fields: &mut Fields<'_>, leaf_label: bool, report: &mut Report) -> LoadBalancer {
    let kind = choice_or_empty(fields, "load_balancer_type", &BALANCERS, report);
    let subnet = given(fields.text("load_balancer_subnet", report));
    let internal = kind.good() == Some(&Balancer::Internal);
    if let (false, Some(spot)) = (internal || matches!(kind, Read::Bad), subnet.spot()) {
        report.push(
            Finding::new(
                Code::SubnetWithoutInternal,
                &spot.at,
                "only an internal load balancer has a subnet of its own",
            )
            .found(quoted(spot.value))
            .allowed("load_balancer_subnet with load_balancer_type = \"InternalLoadBalancer\"")
            .remedy("set the type, or remove the subnet"),
        );
    }
    if let (true, true, Some(spot)) = (internal, leaf_label, kind.spot()) {
        report.push(
            Finding::new(
                Code::TlsInternal,
                &spot.at,
                "the platform makes no certificate for an internal load balancer",
            )
            .found("leaf_domain_label with InternalLoadBalancer")
            .allowed("a certificate of one's own")
            .remedy("give ssl_cname and its two files instead of leaf_domain_label"),
        );
    }
    if internal {
        LoadBalancer::Internal { subnet: subnet.ok().unwrap_or(LoadBalancer::DEFAULT_SUBNET).to_owned() }
    } else {
        LoadBalancer::PublicIp
    }
}

/// A call refuses arguments that it does not have.
pub(super) fn refuse_rest(fields: &Fields<'_>, known: &[&str], report: &mut Report) {
    for (key, at) in fields.rest() {
        let near = suggest::nearest(key, known.iter().copied());
        report.push(
            Finding::new(Code::UnknownArgument, &at, format!("the call has no argument {}", quoted(key)))
                .found(quoted(key))
                .allowed("an argument that this call has")
                .remedy(
                    near.map_or_else(|| "remove it".to_owned(), |near| format!("did you mean {near:?}?")),
                ),
        );
    }
}

const PROVISION_KEYS: [&str; 16] = [
    "agent_count",
    "vm_size",
    "ssl_cname",
    "ssl_cert_pem_file",
    "ssl_key_pem_file",
    "location",
    "vnet_resourcegroup_name",
    "vnet_name",
    "subnet_name",
    "service_cidr",
    "dns_service_ip",
    "docker_bridge_cidr",
    "cluster_purpose",
    "load_balancer_type",
    "load_balancer_subnet",
    "enable_ssl",
];
const ATTACH_KEYS: [&str; 7] = [
    "resource_group",
    "cluster_name",
    "resource_id",
    "cluster_purpose",
    "load_balancer_type",
    "load_balancer_subnet",
    "enable_ssl",
];
