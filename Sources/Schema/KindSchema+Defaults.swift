public import Wire

extension KindSchema {
  /// Fills absent fields as Kubernetes does: the defaults of the declarations, then those of the kind. Idempotent.
  ///
  /// The object was decoded without errors.
  public func applyDefaults(_ json: inout JSON) {
    for member in constantMembers { json.setDefault(member, [:]) }
    root.applyStaticDefaults(&json)
    strategy.defaults?(&json)
  }
}

extension StructSchema {
  /// Fills the defaults of the declarations, and the zero values that Go always writes.
  func applyStaticDefaults(_ json: inout JSON) {
    guard hasDefaultsBelow, case .object(var object) = json else { return }
    json = .null
    for index in 0..<object.count {
      guard let position = position(object.members[index].key) else { continue }
      switch fields[position].type {
      case .structure(let structure) where structure.hasDefaultsBelow:
        object.update(at: index) { structure.applyStaticDefaults(&$0) }
      case .list(.structure(let structure)) where structure.hasDefaultsBelow:
        object.update(at: index) { list in list.modifyElements { structure.applyStaticDefaults(&$0) } }
      case .map(.structure(let structure)) where structure.hasDefaultsBelow:
        object.update(at: index) { map in
          guard case .object(var members) = map else { return }
          map = .null
          for member in 0..<members.count { members.update(at: member) { structure.applyStaticDefaults(&$0) } }
          map = .object(members)
        }
      default: break
      }
    }
    for field in fieldsWithDefaults where object.index(of: field.name) == nil {
      object[field.name] = field.defaultValue ?? field.zeroValue
    }
    json = .object(object)
  }
}

extension FieldSchema {
  fileprivate var zeroValue: JSON {
    switch type {
    case .bool: false
    case .int32, .int64, .double: 0
    default: ""
    }
  }
}

/// Kubernetes' defaults that depend on more than one field (`pkg/apis/*/v1/defaults.go`). What kinds share is in
/// `Defaults/`, the others in the files of the kinds.
enum Defaults {}
