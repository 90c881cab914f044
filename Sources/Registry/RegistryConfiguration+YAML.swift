import HTTP
import LinuxSystem
import Wire

extension RegistryConfiguration {
  /// The largest configuration file.
  static let fileBytesMax = 4 << 20

  /// Reads `registry.yaml`. Relative paths in it start at its folder. What is not written keeps the value it has in `base`.
  ///
  /// Blocks for reading; call it off the cooperative pool.
  public static func load(
    path: String, over base: RegistryConfiguration = RegistryConfiguration()
  ) throws(RegistryConfigurationError) -> RegistryConfiguration {
    let slash = path.lastIndex(of: "/")
    let folder = slash.map { String(path[..<$0]) } ?? "."
    return try parse(try read(path), label: path, folder: folder, over: base)
  }

  /// - Parameter folder: where relative paths of password files start.
  static func parse(
    _ bytes: [UInt8], label: String, folder: String, over base: RegistryConfiguration = RegistryConfiguration()
  ) throws(RegistryConfigurationError) -> RegistryConfiguration {
    let documents: [JSON]
    do {
      documents = try YAML.parse(bytes)
    } catch {
      throw RegistryConfigurationError("\(label): \(error)")
    }
    guard documents.count <= 1 else {
      throw RegistryConfigurationError("\(label): one document, not \(documents.count)")
    }
    guard let document = documents.first, !document.isNull else { return base }
    var configuration = base
    try configuration.apply(Fields(document, at: label), folder: folder)
    return configuration
  }

  private static func read(_ path: String) throws(RegistryConfigurationError) -> [UInt8] {
    do {
      return try DurableFile.read(path, limit: fileBytesMax)
    } catch {
      throw RegistryConfigurationError("\(error)")
    }
  }

  /// A secret from a file: its first line.
  private static func secret(_ path: String, folder: String) throws(RegistryConfigurationError) -> String {
    let bytes = try read(path.hasPrefix("/") ? path : "\(folder)/\(path)")
    return String(decoding: bytes.prefix { $0 != 0x0A && $0 != 0x0D }, as: UTF8.self)
  }

  private mutating func apply(_ fields: Fields, folder: String) throws(RegistryConfigurationError) {
    var fields = fields
    if let listen = try fields.string("listen") {
      guard let (host, port) = Self.address(listen) else {
        throw fields.error("listen", "takes ADDRESS:PORT, not \"\(listen)\"")
      }
      (self.host, self.port) = (host, port)
    }
    if let names = try fields.strings("names") { self.names = names }
    if let content = try fields.bool("requireContent") { requiresContent = content }
    if let path = try fields.string("passwordFile") {
      let file = path.hasPrefix("/") ? path : "\(folder)/\(path)"
      let text = String(decoding: try Self.read(file), as: UTF8.self)
      users = try PasswordFile(parsing: text, label: file)
    }
    if var inline = try fields.object("users") {
      var hashes: [String: String] = [:]
      for user in inline.keys {
        let hash = try inline.string(user) ?? ""
        if let problem = PasswordFile.problem(user: user, hash: hash) { throw inline.error(user, problem) }
        hashes[user] = hash
      }
      try users.merge(PasswordFile(hashes: hashes), label: "users")
    }
    if let list = try fields.list("access") {
      var rules: [AccessRule] = []
      for var item in list { rules.append(try Self.accessRule(&item)) }
      access = rules
    }
    if var item = try fields.object("tokens") {
      if let text = try item.string("challenge") {
        guard let challenge = Tokens.Challenge(rawValue: text) else {
          throw item.error("challenge", "takes bearer or basic, not \"\(text)\"")
        }
        tokens.challenge = challenge
      }
      if let service = try item.string("service") { tokens.service = service }
      if let realm = try item.string("realm") { tokens.realm = realm }
      if let lifetime = try item.duration("lifetime", 10...86_400) { tokens.lifetime = lifetime }
      try item.finish()
    }
    if let list = try fields.list("upstreams") {
      upstreams = []
      for var item in list { upstreams.append(try Self.upstream(&item, folder: folder)) }
    }
    if let list = try fields.list("replicas") {
      replicas = []
      for var item in list { replicas.append(try Self.replica(&item, folder: folder)) }
      guard Set(replicas.map(\.name)).count == replicas.count else {
        throw fields.error("replicas", "two of them have one name")
      }
    }
    if let list = try fields.list("immutableTags") {
      immutability = []
      for var item in list {
        immutability.append(
          ImmutabilityRule(
            repositories: try item.globs("repositories") ?? [Glob("**")], tags: try item.globs("tags") ?? [Glob("*")],
            except: try item.globs("except") ?? []))
        try item.finish()
      }
    }
    if let list = try fields.list("quotas") {
      quotas = []
      for var item in list {
        let prefix = try item.string("prefix") ?? ""
        guard prefix.isEmpty || Names.isRepository(prefix) else {
          throw item.error("prefix", "\"\(prefix)\" is no repository name")
        }
        guard let bytes = try item.bytes("bytes") else { throw item.error("bytes", "is missing") }
        quotas.append(Quota(prefix: prefix, bytesMax: bytes))
        try item.finish()
      }
    }
    if let list = try fields.list("notifications") {
      notifications = []
      for var item in list { notifications.append(try Self.notification(&item)) }
    }
    if var item = try fields.object("garbageCollection") {
      if let isEnabled = try item.bool("enabled") { garbageCollection.isEnabled = isEnabled }
      if let value = try item.duration("interval", 1...31_536_000) { garbageCollection.interval = value }
      if let value = try item.duration("untaggedGrace", 0...31_536_000) { garbageCollection.untaggedGrace = value }
      if let value = try item.duration("trash", 0...31_536_000) { garbageCollection.trash = value }
      try item.finish()
    }
    if var item = try fields.object("scrub") {
      if let isEnabled = try item.bool("enabled") { scrub.isEnabled = isEnabled }
      if let value = try item.duration("interval", 1...31_536_000) { scrub.interval = value }
      try item.finish()
    }
    if var item = try fields.object("limits") { try applyLimits(&item) }
    try fields.finish()
  }

  private mutating func applyLimits(_ item: inout Fields) throws(RegistryConfigurationError) {
    if let value = try item.int("connections") { limits.connectionsMax = Int(clamping: max(1, value)) }
    if let value = try item.int("requests") { limits.requestsMax = Int(clamping: max(1, value)) }
    if let value = try item.bytes("manifestBytes") {
      guard (1 << 10...64 << 20).contains(value) else { throw item.error("manifestBytes", "takes 1Ki to 64Mi") }
      limits.manifestBytesMax = Int(value)
    }
    if let value = try item.bytes("blobBytes") { limits.blobBytesMax = value }
    if let value = try item.int("uploads") { limits.uploadsMax = Int(clamping: max(1, value)) }
    if let value = try item.int("repositoryUploads") { limits.repositoryUploadsMax = Int(clamping: max(1, value)) }
    if let value = try item.bytes("uploadBytes") { limits.uploadBytesMax = value }
    if let value = try item.bytes("repositoryUploadBytes") { limits.repositoryUploadBytesMax = value }
    if let value = try item.bytes("upstreamBytes") { limits.upstreamBytesMax = value }
    if let value = try item.duration("head", 1...3600) { limits.head = value }
    if let value = try item.duration("idle", 1...3600) { limits.idle = value }
    if let value = try item.duration("stall", 1...3600) { limits.stall = value }
    if let value = try item.duration("uploadLifetime", 60...31_536_000) { limits.uploadLifetime = value }
    if let value = try item.int("page") { limits.pageMax = Int(clamping: min(max(1, value), 100_000)) }
    try item.finish()
  }

  private static func accessRule(_ item: inout Fields) throws(RegistryConfigurationError) -> AccessRule {
    var actions = Set<Action>()
    for text in try item.strings("actions") ?? [] {
      if text == "*" {
        actions.formUnion(Action.allCases)
      } else if let action = Action(rawValue: text) {
        actions.insert(action)
      } else {
        throw item.error("actions", "takes pull, push, delete, metrics and \"*\", not \"\(text)\"")
      }
    }
    let rule = AccessRule(
      repositories: try item.globs("repositories") ?? [Glob("**")], subjects: try item.strings("users") ?? [],
      actions: actions)
    guard !rule.subjects.isEmpty else { throw item.error("users", "names nobody; \"*\" is everybody who signed in") }
    guard !rule.actions.isEmpty else { throw item.error("actions", "names nothing") }
    try item.finish()
    return rule
  }

  private static func credentials(
    _ item: inout Fields, folder: String
  ) throws(RegistryConfigurationError) -> (username: String?, password: String?) {
    let username = try item.string("username")
    let path = try item.string("passwordFile")
    guard (username == nil) == (path == nil) else {
      throw item.error("username", "and passwordFile go together")
    }
    guard let path else { return (nil, nil) }
    return (username, try secret(path, folder: folder))
  }

  private static func upstream(_ item: inout Fields, folder: String) throws(RegistryConfigurationError) -> Upstream {
    guard let registry = try item.string("registry") else { throw item.error("registry", "is missing") }
    var upstream = Upstream(prefix: try item.string("prefix") ?? registry, registry: registry)
    guard Names.isRepository(upstream.prefix) else {
      throw item.error("prefix", "\"\(upstream.prefix)\" is no repository name; give another prefix")
    }
    if let path = try item.string("path") { upstream.path = path }
    guard upstream.path.isEmpty || Names.isRepository(upstream.path) else {
      throw item.error("path", "\"\(upstream.path)\" is no repository name")
    }
    if let freshness = try item.duration("freshness", 0...31_536_000) { upstream.freshness = freshness }
    (upstream.username, upstream.password) = try credentials(&item, folder: folder)
    try item.finish()
    return upstream
  }

  private static func replica(_ item: inout Fields, folder: String) throws(RegistryConfigurationError) -> Replica {
    guard let registry = try item.string("registry") else { throw item.error("registry", "is missing") }
    var replica = Replica(name: try item.string("name") ?? registry, registry: registry)
    if let path = try item.string("path") { replica.path = path }
    guard replica.path.isEmpty || Names.isRepository(replica.path) else {
      throw item.error("path", "\"\(replica.path)\" is no repository name")
    }
    if let globs = try item.globs("repositories") { replica.repositories = globs }
    if let globs = try item.globs("tags") { replica.tags = globs }
    if let deletions = try item.bool("deletions") { replica.deletions = deletions }
    (replica.username, replica.password) = try credentials(&item, folder: folder)
    try item.finish()
    return replica
  }

  private static func notification(_ item: inout Fields) throws(RegistryConfigurationError) -> Notification {
    guard let url = try item.string("url"), HTTPURL(url) != nil else {
      throw item.error("url", "is an http:// or https:// URL")
    }
    var notification = Notification(url: url)
    if let events = try item.strings("events") {
      notification.events = []
      for text in events {
        guard let kind = RegistryEvent.Kind(rawValue: text) else {
          throw item.error("events", "takes push, pull and delete, not \"\(text)\"")
        }
        notification.events.insert(kind)
      }
    }
    if let globs = try item.globs("repositories") { notification.repositories = globs }
    if var headers = try item.object("headers") {
      for name in headers.keys {
        let value = try headers.string(name) ?? ""
        guard !name.isEmpty, name.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: ":") }),
          value.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F })
        else { throw headers.error(name, "is no header") }
        notification.headers.append(RegistryError.Header(name, value))
      }
    }
    try item.finish()
    return notification
  }

  /// `127.0.0.1:5000`, `[::1]:5000`, `:5000`.
  public static func address(_ text: String) -> (host: String, port: Int)? {
    guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]),
      (0...65535).contains(port)
    else { return nil }
    var host = text[..<colon]
    if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
    return (host.isEmpty ? "0.0.0.0" : String(host), port)
  }
}

/// The members of one mapping; what nobody asks for is a mistake of the writer's, and is named.
private struct Fields {
  private var members: JSONObject
  private let place: String
  private var taken = Set<String>()

  init(_ json: JSON, at place: String) throws(RegistryConfigurationError) {
    guard let members = json.object else {
      throw RegistryConfigurationError("\(place): a mapping is needed, not \(json.typeName)")
    }
    self.members = members
    self.place = place
  }

  var keys: [String] { members.keys }

  func error(_ key: String, _ why: String) -> RegistryConfigurationError {
    RegistryConfigurationError("\(place): \(key) \(why)")
  }

  private mutating func take(_ key: String) -> JSON? {
    taken.insert(key)
    guard let value = members[key], !value.isNull else { return nil }
    return value
  }

  func finish() throws(RegistryConfigurationError) {
    for key in members.keys where !taken.contains(key) { throw error(key, "is not known here") }
  }

  mutating func string(_ key: String) throws(RegistryConfigurationError) -> String? {
    guard let value = take(key) else { return nil }
    guard let text = value.string else { throw error(key, "must be a text, not \(value.typeName)") }
    return text
  }

  mutating func strings(_ key: String) throws(RegistryConfigurationError) -> [String]? {
    guard let value = take(key) else { return nil }
    if let text = value.string { return [text] }
    guard let items = value.array else { throw error(key, "must be a list of texts, not \(value.typeName)") }
    var texts: [String] = []
    for item in items {
      guard let text = item.string else { throw error(key, "must be a list of texts") }
      texts.append(text)
    }
    return texts
  }

  mutating func globs(_ key: String) throws(RegistryConfigurationError) -> [Glob]? {
    try strings(key)?.map { Glob($0) }
  }

  mutating func bool(_ key: String) throws(RegistryConfigurationError) -> Bool? {
    guard let value = take(key) else { return nil }
    guard let bool = value.bool else { throw error(key, "must be true or false") }
    return bool
  }

  mutating func int(_ key: String) throws(RegistryConfigurationError) -> Int64? {
    guard let value = take(key) else { return nil }
    guard let number = value.int, number >= 0 else { throw error(key, "must be a whole number") }
    return number
  }

  /// `10Gi`, `500M`, `1024`.
  mutating func bytes(_ key: String) throws(RegistryConfigurationError) -> Int64? {
    guard let value = take(key) else { return nil }
    if let number = value.int, number >= 0 { return number }
    guard let text = value.string, let quantity = Quantity(text), quantity >= .zero else {
      throw error(key, "must be a number of bytes: 1048576, 10Gi, 500M")
    }
    return quantity.value
  }

  /// `90s`, `24h`, or a number of seconds.
  mutating func duration(
    _ key: String, _ secondsRange: ClosedRange<Int64>
  ) throws(RegistryConfigurationError) -> Duration? {
    guard let value = take(key) else { return nil }
    let duration = value.int.map { Duration.seconds($0) } ?? value.string.flatMap { GoDuration.parse($0) }
    guard let duration, duration >= .seconds(secondsRange.lowerBound), duration <= .seconds(secondsRange.upperBound)
    else {
      throw error(
        key, "must be a duration of \(secondsRange.lowerBound) to \(secondsRange.upperBound) seconds: 90s, 24h")
    }
    return duration
  }

  mutating func object(_ key: String) throws(RegistryConfigurationError) -> Fields? {
    guard let value = take(key) else { return nil }
    return try Fields(value, at: "\(place): \(key)")
  }

  mutating func list(_ key: String) throws(RegistryConfigurationError) -> [Fields]? {
    guard let value = take(key) else { return nil }
    guard let items = value.array else { throw error(key, "must be a list, not \(value.typeName)") }
    var fields: [Fields] = []
    for (index, item) in items.enumerated() { fields.append(try Fields(item, at: "\(place): \(key)[\(index)]")) }
    return fields
  }
}
