import Wire

/// One file of declarations, as parsed: names are not looked up yet.
///
/// The language has one declaration per line group:
///
///     schema apps/v1 as apps priority 17800 15
///
///     enum PodManagementPolicyType OrderedReady Parallel
///     enum ReplicaSetConditionType ReplicaFailure open
///
///     kind Deployment  # What it is, in one sentence.
///       @resource deployments deployment deploy
///       @categories all
///       @scope cluster
///       @verbs create get list
///       @subresource scale get,patch,update autoscaling/v1 Scale
///       @column string/name Name
///       @column string!1 Images
///       metadata meta.ObjectMeta 1 omitempty
///       spec DeploymentSpec 2 omitempty required  # The wanted state.
///
///     struct Volume
///       name string 1 required nonempty
///       ...VolumeSource 2
///
/// A field is `NAME TYPE NUMBER WORDS`: `T?` is optional, `[T]` a list, `{T}` a map with string keys, `...T` embeds the
/// members of `T`. Words: `omitempty`, `required`, `nonempty`, `merge`, `merge=KEY`, `replace`, `retainKeys`, `set`,
/// `keys=A,B`, `atomic`, `default=JSON`. `//` starts a comment line, `#` a description.
struct SchemaDeclaration: Sendable {
  var file: String
  var groupVersion: GroupVersion
  /// What other files call this one.
  var alias: String
  /// Discovery lists groups by falling priority; 0 for files whose kinds are not served.
  var groupPriority = 0
  /// The version with the highest one is preferred.
  var versionPriority = 0
  var enums: [EnumDeclaration] = []
  var structs: [StructDeclaration] = []
}

struct EnumDeclaration: Sendable {
  var schema: EnumSchema
  var line: Int
}

struct StructDeclaration: Sendable {
  var name: String
  var description: String
  var line: Int
  var isKind: Bool
  var resource = ""
  var singular = ""
  var shortNames: [String] = []
  var categories: [String] = []
  var isNamespaced = true
  var verbs: [String]?
  var subresources: [SubresourceSchema] = []
  var columns: [ColumnSchema] = []
  var fields: [FieldDeclaration] = []
}

indirect enum TypeReference: Sendable, Equatable {
  case named(String)
  case list(TypeReference)
  case map(TypeReference)
}

struct FieldDeclaration: Sendable {
  /// Empty for an embedded struct.
  var name: String
  var type: TypeReference
  var number: Int
  var line: Int
  var description: String
  var isPointer = false
  var omitsEmpty = false
  var isRequired = false
  var isNonEmpty = false
  var patch = PatchStrategy()
  var listType = ListType.atomic
  var isAtomic = false
  var defaultValue: JSON?
}
