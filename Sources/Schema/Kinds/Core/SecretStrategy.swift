import Wire

extension KindStrategy {
  static let secret = KindStrategy(
    .core("Secret"), defaults: Defaults.secret, validate: { $0.secret($1, old: $2) },
    cells: { ["Type": $0.text($0.object["type"]), "Data": .int(Int64($0.size("data")))] }, selectableFields: ["type"])
}

extension Defaults {
  /// `stringData` is for writing only: its texts become entries of `data`, where they win.
  fileprivate static func secret(_ secret: inout JSON) {
    secret.setDefault("type", "Opaque")
    guard let texts = secret["stringData"]?.object else { return }
    var data = secret["data"]?.object ?? JSONObject()
    for (key, text) in texts.members { data[key] = .string(Base64.encode(Array((text.string ?? "").utf8))) }
    secret["data"] = data.isEmpty ? nil : .object(data)
    secret["stringData"] = nil
  }
}

extension Validator {
  fileprivate mutating func secret(_ secret: JSON, old: JSON?) {
    var bytes = 0
    for member in secret.members("data") {
      check(FieldPath.of("data")[key: member.key], member.key, Names.configKey)
      bytes += (member.value.string?.utf8.count ?? 0) / 4 * 3
    }
    if bytes > Self.dataBytesMax { report(.tooLong(.of("data"), Self.dataBytesMax)) }
    let data = secret["data"]
    let needed: [String]
    switch secret.text("type") {
    case "kubernetes.io/dockercfg": needed = [".dockercfg"]
    case "kubernetes.io/dockerconfigjson": needed = [".dockerconfigjson"]
    case "kubernetes.io/ssh-auth": needed = ["ssh-privatekey"]
    case "kubernetes.io/tls": needed = ["tls.crt", "tls.key"]
    case "kubernetes.io/basic-auth":
      needed = []
      if data?.has("username") != true, data?.has("password") != true {
        required(FieldPath.of("data")[key: "username"])
        required(FieldPath.of("data")[key: "password"])
      }
    case "kubernetes.io/service-account-token":
      needed = []
      if secret.at("metadata", "annotations", "kubernetes.io/service-account.name") == nil {
        required(FieldPath.of("metadata", "annotations")[key: "kubernetes.io/service-account.name"])
      }
    default: needed = []
    }
    for key in needed where data?.has(key) != true { required(FieldPath.of("data")[key: key]) }
    if let old, old["type"] != secret["type"] { immutable(.of("type"), secret["type"], old["type"]) }
    immutableData(secret, old, "type")
  }
}
