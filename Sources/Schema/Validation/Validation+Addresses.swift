import Wire

/// The addresses that an object had before it was written again.
///
/// What is stored stays writable: a rule that came later must not keep anybody from taking a finalizer away or from
/// mending another field. Where packets are translated, such an address is left out all the same.
struct KnownAddresses {
  private var texts: Set<String> = []

  init(_ object: JSON?, _ fields: String...) {
    for field in fields {
      if let text = object?[field]?.string { texts.insert(text) }
      for item in object?[field]?.array ?? [] { if let text = item.string { texts.insert(text) } }
    }
  }

  init(endpoints: JSON?) {
    for subset in endpoints?.elements("subsets") ?? [] {
      for list in ["addresses", "notReadyAddresses"] {
        for address in subset.elements(list) { texts.insert(address.text("ip")) }
      }
    }
  }

  init(slice: JSON?) {
    for endpoint in slice?.elements("endpoints") ?? [] {
      for address in endpoint.elements("addresses") { if let text = address.string { texts.insert(text) } }
    }
  }

  init(list: [JSON], _ field: String) { texts = Set(list.map { $0.text(field) }) }

  func contains(_ text: String) -> Bool { texts.contains(text) }
}

extension Validator {
  /// An address that packets are translated to, or away from.
  mutating func translated(
    _ path: @autoclosure () -> FieldPath, _ text: String, known: @autoclosure () -> KnownAddresses
  ) {
    guard Names.isIPAddress(text), let address = IPAddress(text) else {
      return invalid(path(), .string(text), "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")
    }
    guard let refusal = AddressClass(address).refusal, !known().contains(text) else { return }
    invalid(path(), .string(text), refusal)
  }
}
