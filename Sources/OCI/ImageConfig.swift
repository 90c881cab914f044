import Wire

/// How a container of the image starts (OCI image configuration, config.md, and Docker's additions to it).
public struct ImageConfig: Sendable, Equatable {
  public var entrypoint: [String] = []
  public var cmd: [String] = []
  /// `NAME=VALUE`.
  public var env: [String] = []
  public var workingDir = ""
  /// `user`, `uid`, `user:group`, `uid:gid`; empty for root.
  public var user = ""
  /// `8080/tcp`.
  public var exposedPorts: [String] = []
  public var volumes: [String] = []
  public var labels: [String: String] = [:]
  public var stopSignal: String?
  public var healthcheck: Healthcheck?
  /// Instructions for the builds that start from this image.
  public var onBuild: [String] = []
  /// What the shell form of instructions runs in; empty for the default.
  public var shell: [String] = []
  /// As Go names them: `amd64`, `linux`.
  public var architecture = ""
  public var os = ""
  /// `v7`; empty when there is none.
  public var variant = ""
  /// RFC 3339.
  public var created: String?
  /// Members of `config` that are not known here, as they were: what is built on an image keeps them.
  public var others = JSONObject()

  public init() {}

  public var platform: Platform { Platform(os: os, architecture: architecture, variant: variant) }

  /// How to tell whether a container is healthy (Docker image specification 1.2). A zero time means: inherit, or the
  /// default (interval and timeout 30 s, start interval 5 s, 3 retries).
  public struct Healthcheck: Sendable, Equatable {
    /// `["NONE"]`, `["CMD", PROGRAM, ARGUMENT…]`, or `["CMD-SHELL", COMMAND]`; empty to inherit.
    public var test: [String] = []
    public var interval: Duration = .zero
    public var timeout: Duration = .zero
    public var startPeriod: Duration = .zero
    public var startInterval: Duration = .zero
    public var retries = 0

    public init() {}
  }
}

/// A line of an image's history: the instruction that made a layer, or only changed the configuration.
public struct History: Sendable, Equatable {
  /// RFC 3339.
  public var created: String?
  public var createdBy: String?
  public var author: String?
  public var comment: String?
  /// Whether the instruction made no layer.
  public var isEmptyLayer: Bool

  public init(
    created: String? = nil, createdBy: String? = nil, author: String? = nil, comment: String? = nil,
    isEmptyLayer: Bool = false
  ) {
    self.created = created
    self.createdBy = createdBy
    self.author = author
    self.comment = comment
    self.isEmptyLayer = isEmptyLayer
  }
}

/// An image configuration: how to start, the digests of the uncompressed layers, and where they come from.
public struct ConfigDocument: Sendable, Equatable {
  public var config: ImageConfig
  /// Bottom first.
  public var diffIDs: [Digest]
  public var history: [History] = []
  public var author: String?

  public init(config: ImageConfig, diffIDs: [Digest] = [], history: [History] = [], author: String? = nil) {
    self.config = config
    self.diffIDs = diffIDs
    self.history = history
    self.author = author
  }

  /// - Parameter label: the document, for errors.
  public init(_ bytes: [UInt8], label: String) throws(OCIError) {
    let json = try JSON(document: bytes, label: label)
    guard let list = json.at("rootfs", "diff_ids")?.array else {
      throw OCIError(.invalidArchive, "\(label): the image configuration has no rootfs.diff_ids")
    }
    diffIDs = []
    for element in list {
      guard let text = element.string, let digest = Digest(text) else {
        throw OCIError(.invalidArchive, "\(label): rootfs.diff_ids must hold digests")
      }
      diffIDs.append(digest)
    }
    config = try ImageConfig(json: json["config"] ?? [:], label: label)
    config.architecture = json["architecture"]?.string ?? ""
    config.os = json["os"]?.string ?? ""
    config.variant = json["variant"]?.string ?? ""
    config.created = json["created"]?.string
    author = json["author"]?.string
    for line in json["history"]?.array ?? [] {
      history.append(
        History(
          created: line["created"]?.string, createdBy: line["created_by"]?.string, author: line["author"]?.string,
          comment: line["comment"]?.string, isEmptyLayer: line["empty_layer"]?.bool ?? false))
    }
  }

  /// The document; equal values give equal bytes.
  public var json: JSON {
    var json: JSON = [:]
    if let created = config.created { json["created"] = .string(created) }
    if let author { json["author"] = .string(author) }
    json["architecture"] = .string(config.architecture)
    if !config.variant.isEmpty { json["variant"] = .string(config.variant) }
    json["os"] = .string(config.os)
    json["config"] = config.json
    json["rootfs"] = ["type": "layers", "diff_ids": .array(diffIDs.map { .string($0.description) })]
    if !history.isEmpty {
      json["history"] = .array(
        history.map { line in
          var json: JSON = [:]
          if let created = line.created { json["created"] = .string(created) }
          if let createdBy = line.createdBy { json["created_by"] = .string(createdBy) }
          if let author = line.author { json["author"] = .string(author) }
          if let comment = line.comment { json["comment"] = .string(comment) }
          if line.isEmptyLayer { json["empty_layer"] = true }
          return json
        })
    }
    return json
  }
}

extension ImageConfig {
  private static let known: Set<String> = [
    "Entrypoint", "Cmd", "Env", "WorkingDir", "User", "ExposedPorts", "Volumes", "Labels", "StopSignal", "Healthcheck",
    "OnBuild", "Shell",
  ]

  /// The `config` member of an image configuration.
  init(json: JSON, label: String) throws(OCIError) {
    func strings(_ key: String, of json: JSON = json) throws(OCIError) -> [String] {
      guard let value = json[key], !value.isNull else { return [] }
      guard let array = value.array, array.allSatisfy({ $0.string != nil }) else {
        throw OCIError(.invalidArchive, "\(label): config.\(key) must be a list of strings")
      }
      return array.compactMap(\.string)
    }
    entrypoint = try strings("Entrypoint")
    cmd = try strings("Cmd")
    env = try strings("Env")
    onBuild = try strings("OnBuild")
    shell = try strings("Shell")
    workingDir = json["WorkingDir"]?.string ?? ""
    user = json["User"]?.string ?? ""
    exposedPorts = json["ExposedPorts"]?.object?.keys ?? []
    volumes = json["Volumes"]?.object?.keys ?? []
    labels = json["Labels"]?.strings ?? [:]
    stopSignal = json["StopSignal"]?.string.flatMap { $0.isEmpty ? nil : $0 }
    if let check = json["Healthcheck"], check.object != nil {
      func time(_ key: String) -> Duration { .nanoseconds(check[key]?.int.map { max(0, $0) } ?? 0) }
      var healthcheck = Healthcheck()
      healthcheck.test = try strings("Test", of: check)
      healthcheck.interval = time("Interval")
      healthcheck.timeout = time("Timeout")
      healthcheck.startPeriod = time("StartPeriod")
      healthcheck.startInterval = time("StartInterval")
      healthcheck.retries = check["Retries"]?.int.flatMap { Int(exactly: max(0, $0)) } ?? 0
      self.healthcheck = healthcheck
    }
    for member in json.object?.members ?? [] where !ImageConfig.known.contains(member.key) {
      others.append(uniqueKey: member.key, member.value)
    }
  }

  /// The `config` member. What is empty is left out; maps are sorted.
  var json: JSON {
    var json: JSON = [:]
    func list(_ values: [String]) -> JSON? { values.isEmpty ? nil : .array(values.map { .string($0) }) }
    func set(_ keys: [String]) -> JSON? {
      keys.isEmpty ? nil : .object(JSONObject(uniqueMembers: Set(keys).sorted().map { (key: $0, value: [:]) }))
    }
    if !user.isEmpty { json["User"] = .string(user) }
    json["ExposedPorts"] = set(exposedPorts)
    json["Env"] = list(env)
    json["Entrypoint"] = list(entrypoint)
    json["Cmd"] = list(cmd)
    if let healthcheck { json["Healthcheck"] = healthcheck.json }
    json["Volumes"] = set(volumes)
    if !workingDir.isEmpty { json["WorkingDir"] = .string(workingDir) }
    json["OnBuild"] = list(onBuild)
    if !labels.isEmpty { json["Labels"] = JSON(sorted: labels) }
    if let stopSignal { json["StopSignal"] = .string(stopSignal) }
    json["Shell"] = list(shell)
    for (key, value) in others.members where !ImageConfig.known.contains(key) { json[key] = value }
    return json
  }
}

extension ImageConfig.Healthcheck {
  var json: JSON {
    var json: JSON = [:]
    if !test.isEmpty { json["Test"] = .array(test.map { .string($0) }) }
    for (key, time) in [
      ("Interval", interval), ("Timeout", timeout), ("StartPeriod", startPeriod), ("StartInterval", startInterval),
    ] where time > .zero {
      let (seconds, attoseconds) = time.components
      let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
      json[key] = .int(overflow ? .max : product.addingReportingOverflow(attoseconds / 1_000_000_000).partialValue)
    }
    if retries > 0 { json["Retries"] = .int(Int64(retries)) }
    return json
  }
}
