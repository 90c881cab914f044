import KubeClient
import Schema
import Wire

/// `ipFamilyPolicy` and `ipFamilies` of a Service (`pkg/registry/core/service/storage/alloc.go`): what cannot be served is
/// refused, never served as something else.
enum ServiceFamilies {
  /// Fills in both fields.
  ///
  /// - Parameter served: the families of the cluster addresses, the one that goes first first.
  /// - Returns: what the Service asks for and this cluster does not have.
  static func settle(_ spec: inout JSON, old: JSON?, served: [IPAddress.Family]) -> [FieldError] {
    let isOpen = spec["clusterIP"]?.string == "None" && (spec["selector"]?.object?.isEmpty ?? true)
    if spec["ipFamilyPolicy"]?.string?.isEmpty ?? true {
      // Whoever fills the endpoints of a headless Service in without a selector may use both families.
      spec["ipFamilyPolicy"] = old?["ipFamilyPolicy"] ?? (isOpen ? "RequireDualStack" : "SingleStack")
    }
    let policy = spec["ipFamilyPolicy"]?.string ?? ""
    let isSingle = policy == "SingleStack"
    if let old {
      // An update that leaves the families out keeps them.
      if spec["ipFamilies"]?.array?.isEmpty ?? true { spec["ipFamilies"] = old["ipFamilies"] }
      // A Service that prefers two does not get or lose one because the cluster has others now, only when it asks.
      let isSame = ["ipFamilyPolicy", "ipFamilies", "clusterIPs"].allSatisfy { spec[$0] == old[$0] }
      if policy == "PreferDualStack", isSame, spec["ipFamilies"]?.array?.isEmpty == false { return [] }
    }
    if isSingle, let old {
      // Asking for one family is enough to give the other up.
      for field in ["clusterIPs", "ipFamilies"] where spec[field] == old[field] {
        if let values = spec[field]?.array, values.count > 1 { spec[field] = .array([values[0]]) }
      }
    }
    var errors = inconsistencies(spec, isSingle: isSingle, served: served)
    guard errors.isEmpty else { return errors }

    infer(&spec)
    if isOpen {
      var families = spec["ipFamilies"]?.array ?? []
      if families.isEmpty { families = [.string(served[0].rawValue)] }
      if families.count == 1, !isSingle { families.append(other(families[0])) }
      spec["ipFamilies"] = .array(families)
      return []
    }
    let path = FieldPath.of("spec")
    if policy == "RequireDualStack", served.count < 2 {
      errors.append(
        .invalid(path["ipFamilyPolicy"], .string(policy), "this cluster is not configured for dual-stack services"))
    }
    var families = spec["ipFamilies"]?.array ?? []
    for (index, family) in families.enumerated() where !served.contains(where: { $0.rawValue == family.string }) {
      errors.append(.invalid(path["ipFamilies"][index], family, "not configured on this cluster"))
    }
    guard errors.isEmpty else { return errors }
    if families.isEmpty { families = [.string(served[0].rawValue)] }
    if !isSingle, families.count == 1, served.count == 2 { families.append(other(families[0])) }
    spec["ipFamilies"] = .array(families)
    return []
  }

  private static func other(_ family: JSON) -> JSON { family == "IPv4" ? "IPv6" : "IPv4" }

  /// Addresses tell the families that are not named.
  private static func infer(_ spec: inout JSON) {
    var families = spec["ipFamilies"]?.array ?? []
    for (index, address) in (spec["clusterIPs"]?.array ?? []).enumerated() where index >= families.count {
      guard let family = address.string.flatMap({ IPAddress($0) })?.family else { break }
      families.append(.string(family.rawValue))
    }
    if !families.isEmpty { spec["ipFamilies"] = .array(families) }
  }

  /// Families, addresses and policy that do not go together.
  private static func inconsistencies(_ spec: JSON, isSingle: Bool, served: [IPAddress.Family]) -> [FieldError] {
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
    let known = addresses.compactMap { $0.string.flatMap { IPAddress($0) }?.family }
    if known.count == 2, known[0] == known[1], addresses[0] != addresses[1] {
      errors.append(
        .invalid(path["clusterIPs"], .array(addresses), "may specify no more than one IP for each IP family"))
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
      guard let family = address.string.flatMap({ IPAddress($0) })?.family else { continue }
      if index < families.count {
        if families[index].string != family.rawValue {
          errors.append(
            .invalid(
              path["clusterIPs"][index], address,
              "expected an \(families[index].string ?? "") value as indicated by "
                + "`ipFamilies[\(index)]`"))
        }
      } else if !served.contains(family) {
        errors.append(
          .invalid(path["clusterIPs"][index], .array(addresses), "\(family.rawValue) is not configured on this cluster")
        )
      }
    }
    return errors
  }
}
