package import Wire

/// What of a kind cannot be declared. A kind is its schema and its strategy (`KindSchema.strategy`); there is one file for
/// each kind, or for a few that share everything, in `Kinds/`.
///
/// Everything here is about one object and needs nothing of the server. What looks at other objects is admission.
package struct KindStrategy: Sendable {
  /// The kind in one version: versions of a kind may differ in all that follows.
  package let kind: GroupVersionKind

  // MARK: What an object is

  /// What is wrong with a name; by default, names are RFC 1123 subdomains.
  package let nameProblems: @Sendable (String) -> [String]
  /// Fills absent fields by others (`pkg/apis/*/v1/defaults.go`), after the defaults of the declarations. Idempotent.
  package let defaults: (@Sendable (_ object: inout JSON) -> Void)?
  /// Reports what is wrong beyond the metadata and what the declarations say; `old` is the stored object of an update.
  package let validate: (@Sendable (_ validator: inout Validator, _ object: JSON, _ old: JSON?) -> Void)?
  /// Tells of what an object that may be stored probably does not mean to say; `old` is the stored object of an update.
  package let warn: (@Sendable (_ warner: inout Warner, _ object: JSON, _ old: JSON?) -> Void)?
  /// The cells of a table by the names of their columns.
  package let cells: (@Sendable (TableRow) -> [String: JSON])?
  /// How objects are stored; `nil` when as they are served.
  package let conversion: KindConversion?
  /// What objects can be selected by, beside name and namespace.
  package let selectableFields: [SelectableField]

  // MARK: What a write does

  /// Whether `metadata.generation` counts the changes of the specification, where there is one and a status.
  package let countsGeneration: Bool
  /// Whether who creates an object may bring its status along.
  package let bringsStatus: Bool
  /// What of the metadata a write of the status leaves as it was, beside the owners.
  package let metadataKeptByStatus: [String]
  /// Takes back what a write through the object's own URL may not change.
  package let prepareUpdate: (@Sendable (_ object: inout JSON, _ current: JSON) -> Void)?

  // MARK: What a deletion does

  /// For how many seconds a deleted object stays, of those that were asked for; `nil` for kinds that go at once.
  package let gracePeriod: (@Sendable (_ object: JSON, _ asked: Int64?) -> Int64)?
  /// What a deletion leaves on an object beside its time.
  package let markDeleted: (@Sendable (_ object: inout JSON) -> Void)?
  /// Whether anything but finalizers of the metadata keeps a deleted object.
  package let isHeld: (@Sendable (_ object: JSON) -> Bool)?
  /// Whether dependents stay when nobody says otherwise, as before there was garbage collection
  /// (`DefaultGarbageCollectionPolicy`).
  package let orphansDependents: Bool
  /// Whether a deletion that is done answers with the object, and not with a `Status` (`ReturnDeletedObject`).
  package let returnsDeleted: Bool

  package init(
    _ kind: GroupVersionKind,
    nameProblems: @escaping @Sendable (String) -> [String] = Names.dns1123Subdomain,
    defaults: (@Sendable (_ object: inout JSON) -> Void)? = nil,
    validate: (@Sendable (_ validator: inout Validator, _ object: JSON, _ old: JSON?) -> Void)? = nil,
    warn: (@Sendable (_ warner: inout Warner, _ object: JSON, _ old: JSON?) -> Void)? = nil,
    cells: (@Sendable (TableRow) -> [String: JSON])? = nil, conversion: KindConversion? = nil,
    selectableFields: [SelectableField] = [], countsGeneration: Bool = true, bringsStatus: Bool = false,
    metadataKeptByStatus: [String] = [],
    prepareUpdate: (@Sendable (_ object: inout JSON, _ current: JSON) -> Void)? = nil,
    gracePeriod: (@Sendable (_ object: JSON, _ asked: Int64?) -> Int64)? = nil,
    markDeleted: (@Sendable (_ object: inout JSON) -> Void)? = nil,
    isHeld: (@Sendable (_ object: JSON) -> Bool)? = nil, orphansDependents: Bool = false, returnsDeleted: Bool = false
  ) {
    self.kind = kind
    self.nameProblems = nameProblems
    self.defaults = defaults
    self.validate = validate
    self.warn = warn
    self.cells = cells
    self.conversion = conversion
    self.selectableFields = selectableFields
    self.countsGeneration = countsGeneration
    self.bringsStatus = bringsStatus
    self.metadataKeptByStatus = metadataKeptByStatus
    self.prepareUpdate = prepareUpdate
    self.gracePeriod = gracePeriod
    self.markDeleted = markDeleted
    self.isHeld = isHeld
    self.orphansDependents = orphansDependents
    self.returnsDeleted = returnsDeleted
  }
}

extension GroupVersionKind {
  /// A kind of the core group.
  static func core(_ kind: String) -> GroupVersionKind { GroupVersionKind(group: "", version: "v1", kind: kind) }

  static func v1(_ group: String, _ kind: String) -> GroupVersionKind {
    GroupVersionKind(group: group, version: "v1", kind: kind)
  }
}

/// A field that objects of a kind can be selected by.
package struct SelectableField: Sendable {
  /// Where a value stands in a stored object.
  package struct Place: Sendable, Hashable {
    /// The first that is there has the value.
    package let paths: [[String]]
    /// What an object is taken to say that has none of them.
    package let absent: String
  }

  /// As in a field selector, such as `spec.nodeName`.
  package let name: String
  package let place: Place

  /// - Parameter paths: where the value stands, when not where the name says.
  package init(_ name: String, at paths: String..., absent: String = "") {
    self.name = name
    let paths = paths.isEmpty ? [name] : paths
    place = Place(paths: paths.map { $0.split(separator: ".").map(String.init) }, absent: absent)
  }
}

extension SelectableField: ExpressibleByStringLiteral {
  package init(stringLiteral name: String) { self.init(name) }
}
