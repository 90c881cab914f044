import KubeClient
import Schema
import Wire

/// `ipFamilyPolicy` and `ipFamilies` of a Service on a cluster that has IPv4 alone
/// (`pkg/registry/core/service/storage/alloc.go`): what cannot be served is refused, never served as something else.
enum ServiceFamilies {
  private static let served = "IPv4"

  /// Fills in both fields.
  ///
  /// - Returns: what the Service asks for and this cluster does not have.
  static func settle(_ spec: inout JSON, old: JSON?) -> [FieldError] {
    let isOpen = spec["clusterIP"]?.string == "None" && (spec["selector"]?.object?.isEmpty ?? true)
    if spec["ipFamilyPolicy"]?.string?.isEmpty ?? true {
      // Whoever fills the endpoints of a headless Service in without a selector may use both families.
      spec["ipFamilyPolicy"] = old?["ipFamilyPolicy"] ?? (isOpen ? "RequireDualStack" : "SingleStack")
    }
    let policy = spec["ipFamilyPolicy"]?.string ?? ""
    let isSingle = policy == "SingleStack"
    if isSingle, let old {
      // Asking for one family is enough to give the other up.
      for field in ["clusterIPs", "ipFamilies"] where spec[field] == old[field] {
        if let values = spec[field]?.array, values.count > 1 { spec[field] = .array([values[0]]) }
      }
    }
    var errors = inconsistencies(spec, isSingle: isSingle)
    guard errors.isEmpty else { return errors }

    if isOpen {
      var families = spec["ipFamilies"]?.array ?? []
      if families.isEmpty { families = [.string(served)] }
      if families.count == 1, !isSingle { families.append(families[0] == "IPv4" ? "IPv6" : "IPv4") }
      spec["ipFamilies"] = .array(families)
      return []
    }
    let path = FieldPath.of("spec")
    if policy == "RequireDualStack" {
      errors.append(
        .invalid(path["ipFamilyPolicy"], .string(policy), "this cluster is not configured for dual-stack services"))
    }
    for (index, family) in (spec["ipFamilies"]?.array ?? []).enumerated() where family.string != served {
      errors.append(.invalid(path["ipFamilies"][index], family, "not configured on this cluster"))
    }
    if errors.isEmpty, spec["ipFamilies"]?.array?.isEmpty ?? true { spec["ipFamilies"] = [.string(served)] }
    return errors
  }

  /// Families, addresses and policy that do not go together.
  private static func inconsistencies(_ spec: JSON, isSingle: Bool) -> [FieldError] {
    let path = FieldPath.of("spec")
    let families = spec["ipFamilies"]?.array ?? []
    let addresses = spec["clusterIPs"]?.array ?? []
    var errors: [FieldError] = []
    for (field, values) in [("clusterIPs", addresses), ("ipFamilies", families)] {
      if values.count > 2 {
        errors.append(.invalid(path[field], .array(values), "may only hold up to 2 values"))
      } else if values.count == 2, values[0] == values[1] {
        errors.append(.duplicate(path[field][1], values[1]))
      }
    }
    if isSingle {
      for (values, name) in [(addresses, "cluster IPs"), (families, "IP families")] where values.count == 2 {
        errors.append(
          .invalid(
            path["ipFamilyPolicy"], "SingleStack",
            "must be 'RequireDualStack' or 'PreferDualStack' when multiple \(name) are specified"))
      }
    }
    for (index, address) in addresses.enumerated() {
      guard let text = address.string, text != "None", Names.isIPAddress(text) else { continue }
      let family = Names.isIPv4(text) ? "IPv4" : "IPv6"
      if index < families.count {
        if families[index].string != family {
          errors.append(
            .invalid(
              path["clusterIPs"][index], address,
              "expected an \(families[index].string ?? "") value as indicated by "
                + "`ipFamilies[\(index)]`"))
        }
      } else if family != served {
        errors.append(
          .invalid(path["clusterIPs"][index], .array(addresses), "\(family) is not configured on this cluster"))
      }
    }
    return errors
  }
}
