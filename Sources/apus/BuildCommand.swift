import ArgumentParser
import Content
import Distribution
import Dockerfile
import Glibc
import ImageBuilder
import LinuxSystem
import OCI
import Synchronization
import Wire

/// `docker build` with its flags.
struct BuildCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "build", abstract: "Build an image from a Dockerfile.",
    discussion: """
      The image is in the data directory afterwards: a pod that names it starts from it at once.

        apus build -t localhost/app:1 .
        kubectl create deployment app --image=localhost/app:1

      The context is a folder, a tar archive, `-` (an archive or a Dockerfile on standard input), a git repository \
      (https://HOST/REPOSITORY.git#REF:FOLDER, git://, ssh://, USER@HOST:PATH), or a URL of an archive or a Dockerfile.
      """)

  @OptionGroup var options: DataOptions

  @Option(name: [.customShort("t"), .customLong("tag")], parsing: .singleValue, help: "Name and tag of the image.")
  var tags: [String] = []
  @Option(
    name: [.customShort("f"), .customLong("file")],
    help: "The Dockerfile (default: PATH/Dockerfile; - is standard input).")
  var file: String?
  @Option(help: "The stage to build.") var target: String?
  @Option(
    name: .customLong("build-arg"), parsing: .singleValue, help: "NAME=VALUE, or NAME to take it from the environment.")
  var buildArguments: [String] = []
  @Option(
    name: .customLong("build-context"), parsing: .singleValue,
    help: "NAME=FOLDER, NAME=docker-image://REFERENCE, NAME=URL.")
  var buildContexts: [String] = []
  @Option(name: .customLong("secret"), parsing: .singleValue, help: "id=ID[,src=FILE|,env=NAME].")
  var secrets: [String] = []
  @Option(name: .customLong("ssh"), parsing: .singleValue, help: "default or ID[=SOCKET].")
  var agents: [String] = []
  @Option(name: .customLong("platform"), parsing: .singleValue, help: "Platforms, separated by commas.")
  var platforms: [String] = []
  @Flag(name: .customLong("no-cache"), help: "Take nothing from the cache.") var noCache = false
  @Option(name: .customLong("no-cache-filter"), parsing: .singleValue, help: "Stages that take nothing from the cache.")
  var noCacheFilter: [String] = []
  @Flag(help: "Look base images up at their registries although they are here.") var pull = false
  @Option(name: .customLong("label"), parsing: .singleValue, help: "NAME=VALUE.") var labels: [String] = []
  @Option(help: "Write the image's id to a file.") var iidfile: String?
  @Option(name: .customLong("metadata-file"), help: "Write what was built to a file, as JSON.") var metadataFile:
    String?
  @Option(help: "auto, plain, tty or quiet.") var progress: String = "auto"
  @Option(
    name: .customLong("cache-from"), parsing: .singleValue, help: "REFERENCE, type=registry,ref=… or type=local,src=…")
  var cacheFrom: [String] = []
  @Option(
    name: .customLong("cache-to"), parsing: .singleValue,
    help: "REFERENCE, type=registry,ref=…[,mode=max] or type=local,dest=…")
  var cacheTo: [String] = []
  @Flag(help: "Push the image under its tags.") var push = false
  @Flag(help: "Accepted for docker's sake: the image is always in the store.") var load = false
  @Option(
    name: [.customShort("o"), .customLong("output")], parsing: .singleValue,
    help: "type=image|oci|docker|local|tar|registry|cacheonly[,dest=…], or a folder.")
  var outputs: [String] = []
  @Flag(name: [.customShort("q"), .customLong("quiet")], help: "Print the image's id only.") var quiet = false
  @Flag(help: "Check the Dockerfile, build nothing.") var check = false
  @Option(help: "For RUN: default, none or host.") var network: String = "default"
  @Option(name: .customLong("add-host"), parsing: .singleValue, help: "HOST:IP or HOST=IP.") var addHosts: [String] = []
  @Option(help: "How layers are stored: gzip, zstd, estargz (gzip that can be started before it is here) or none.")
  var compression: String = "zstd"
  @Option(
    name: .customLong("allow"), parsing: .singleValue,
    help: "network.host: for triggers, and a Dockerfile from elsewhere.")
  var allowed: [String] = []
  @Option(help: "true, false, mode=min or mode=max[,builder-id=URI]: attach what the image was made of.")
  var provenance: String?
  @Option(help: "Accepted with false: lists of packages are not made.") var sbom: String?
  @Argument(help: "The build context: a folder, a tar archive, -, or an address.") var context: String

  func run() async throws {
    do {
      try await build()
    } catch let exit as ExitCode {
      throw exit
    } catch let error as BuildError {
      Terminal.note(error.description)
      throw error.code == .cancelled ? ExitCode(130) : ExitCode.failure
    } catch let failure as Failure {
      Terminal.note("ERROR: \(failure.message)")
      throw failure.code
    } catch {
      Terminal.note("ERROR: \(error)")
      throw ExitCode.failure
    }
  }

  private func build() async throws {
    // What git writes of a repository has modes by the umask, and they are in the layers: the same input must give the
    // same digest whoever builds.
    umask(0o022)
    let data = try options.made
    let content = try ContentStore.open(root: data.images)
    let images = ImageStore(content)
    // A file of sign-ins that cannot be read is told of before anything is built.
    _ = try tags.first.map { try RegistryAccess.credentials(for: try Reference(parsing: $0)) }
    var configuration = ImageBuilder.Configuration(workDirectory: data.path + "/build")
    configuration.cgroupRoot = "\(data.cgroup)-build"
    configuration.version = Version.apus
    let builder = ImageBuilder(
      content: content, images: images, client: try RegistryAccess.client(),
      credentials: { reference in try? RegistryAccess.credentials(for: reference) }, configuration: configuration)
    let request = try await request()
    if check { return try await runCheck(builder, request) }
    let screen = try Screen(quiet ? "quiet" : progress)
    let result = try await Interruptible.run {
      let result = await Result { try await builder.build(request, progress: screen.handle) }
      screen.close()
      return try result.get()
    }
    for warning in screen.warnings { Terminal.note(" WARN: \(warning)") }
    let id = result.images.count == 1 ? result.images[0].configDigest : result.digest
    if let iidfile { try DurableFile.write(Array(id.utf8), to: iidfile) }
    if let metadataFile { try DurableFile.write(Array(Self.metadata(result).prettyPrinted().utf8), to: metadataFile) }
    if quiet, !id.isEmpty { Terminal.say(id) }
  }

  private static func metadata(_ result: BuildResult) -> JSON {
    var json: JSON = [
      "containerimage.digest": .string(result.digest),
      "containerimage.descriptor": [
        "mediaType": .string(result.mediaType), "digest": .string(result.digest), "size": .int(result.size),
      ],
    ]
    if result.images.count == 1 { json["containerimage.config.digest"] = .string(result.images[0].configDigest) }
    if !result.names.isEmpty { json["image.name"] = .string(result.names.joined(separator: ",")) }
    return json
  }

  private func runCheck(_ builder: ImageBuilder, _ request: BuildRequest) async throws {
    let (dockerfile, findings) = try await builder.check(request)
    guard !findings.isEmpty else { return Terminal.say("Check complete, no warnings found.") }
    Terminal.say("Check complete, \(findings.count) warning\(findings.count == 1 ? " has" : "s have") been found!")
    for finding in findings {
      Terminal.say("\n\(finding.severity.rawValue.uppercased()): \(finding.id)\n\(finding.message)")
      Terminal.say(dockerfile.source.excerpt(finding.range))
    }
    throw ExitCode.failure
  }

  // MARK: The request

  private func request() async throws -> BuildRequest {
    var request = BuildRequest(context: .empty)
    if context == "-" {
      if file == "-" { throw Failure("invalid argument: can't use stdin for both build context and dockerfile") }
      request = try await fromStandardInput()
    } else {
      var status = stat()
      // As docker: what is here is not fetched.
      if stat(context, &status) == 0 {
        request.context = status.st_mode & S_IFMT == S_IFDIR ? .directory(context) : .archive(context)
      } else if let remote = RemoteSource(context) {
        request.context = .remote(remote)
      } else {
        throw Failure("unable to prepare context: path \"\(context)\" not found")
      }
    }
    if let file {
      request.dockerfile = file == "-" ? .text(try await Self.readStandardInput(), name: "Dockerfile") : .path(file)
    }
    request.target = target
    request.tags = tags
    request.buildArguments = try pairs(buildArguments, "--build-arg", fromEnvironment: true)
    request.labels = try pairs(labels, "--label", fromEnvironment: false)
    for text in buildContexts where !text.contains("=") {
      throw Failure("--build-context \(text): write NAME=PLACE")
    }
    request.namedContexts = try pairs(buildContexts, "--build-context", fromEnvironment: false)
    request.secrets = try secrets.map(secret)
    for agent in agents {
      let parts = agent.split(separator: "=", maxSplits: 1).map(String.init)
      let socket = parts.count > 1 ? parts[1] : getenv("SSH_AUTH_SOCK").map { String(cString: $0) }
      guard let name = parts.first, let socket else {
        throw Failure("invalid empty ssh agent socket: SSH_AUTH_SOCK is not set; give --ssh \(agent)=SOCKET")
      }
      request.agents[name] = socket
    }
    request.platforms = platforms.flatMap { $0.split(separator: ",").map(String.init) }
    request.ignoresCache = noCache
    request.ignoredCacheStages = noCacheFilter.flatMap { $0.split(separator: ",").map(String.init) }
    request.pulls = pull
    guard let network = BuildRequest.Network(rawValue: network) else {
      throw Failure("network mode \"\(network)\" not supported: use default, none or host")
    }
    request.network = network
    for entitlement in allowed.flatMap({ $0.split(separator: ",") }) {
      guard entitlement == "network.host" else {
        throw Failure("--allow \(entitlement) is not built: network.host is what can be allowed")
      }
      request.allowsHostNetwork = true
    }
    request.provenance = try Self.provenanceRequest(provenance)
    guard sbom == nil || sbom == "false" else {
      throw Failure("--sbom is not built: make the list with a tool of your own, and attach it to the image's digest")
    }
    request.extraHosts = try addHosts.map(Self.extraHost)
    guard let compression = BuildRequest.LayerCompression(rawValue: compression) else {
      throw Failure("unknown compression \"\(compression)\": use gzip, zstd, estargz or none")
    }
    request.compression = compression
    if let text = getenv("SOURCE_DATE_EPOCH").map({ String(cString: $0) }), !text.isEmpty,
      request.buildArguments["SOURCE_DATE_EPOCH"] == nil
    {
      guard let seconds = Int64(text) else {
        throw Failure("SOURCE_DATE_EPOCH=\(text) is no number of seconds since 1970")
      }
      request.sourceDateEpoch = seconds
    }
    request.cacheSources = try cacheFrom.map { try cacheLocation($0, "--cache-from", folderKey: "src").location }
    request.cacheExports = try cacheTo.map { text in
      let (location, fields) = try cacheLocation(text, "--cache-to", folderKey: "dest")
      return BuildRequest.CacheExport(
        location, includesAllStages: fields["mode"] != "min", includesMounts: fields["mounts"] != "false")
    }
    request.outputs = try outputs.map(output)
    if push {
      if !request.outputs.contains(where: { if case .image = $0 { true } else { false } }) {
        request.outputs.append(.image(push: false))
      }
      request.outputs = request.outputs.map { if case .image = $0 { .image(push: true) } else { $0 } }
    }
    return request
  }

  private func pairs(_ list: [String], _ flag: String, fromEnvironment: Bool) throws -> [String: String] {
    var result: [String: String] = [:]
    for text in list {
      let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      guard !parts[0].isEmpty else { throw Failure("\(flag) \(text): write NAME=VALUE") }
      if parts.count == 2 {
        result[parts[0]] = parts[1]
      } else if fromEnvironment {
        // As docker: a name that is not set is left out.
        if let value = getenv(parts[0]) { result[parts[0]] = String(cString: value) }
      } else {
        result[parts[0]] = ""
      }
    }
    return result
  }

  /// `key=value,key=value`.
  private static func fields(_ text: String) -> [String: String] {
    var fields: [String: String] = [:]
    for part in text.split(separator: ",") {
      let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      fields[pair[0].lowercased()] = pair.count > 1 ? pair[1] : "true"
    }
    return fields
  }

  /// `HOST:IP`, `HOST=IP`; an IPv6 address also in brackets.
  private static func extraHost(_ text: String) throws -> (host: String, address: String) {
    let separator: Character = text.contains("=") ? "=" : ":"
    let parts = text.split(separator: separator, maxSplits: 1).map(String.init)
    var address = parts.count == 2 ? parts[1] : ""
    if address.hasPrefix("["), address.hasSuffix("]") { address = String(address.dropFirst().dropLast()) }
    var bytes = in6_addr()
    guard inet_pton(AF_INET, address, &bytes) == 1 || inet_pton(AF_INET6, address, &bytes) == 1,
      parts[0].utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7F && $0 != UInt8(ascii: "#") })
    else { throw Failure("bad format for add-host: \"\(text)\"; write HOST:IP") }
    return (host: parts[0], address: address)
  }

  private static func provenanceRequest(_ text: String?) throws -> ProvenanceRequest? {
    guard let text, text != "false" else { return nil }
    if text == "true" { return ProvenanceRequest(mode: .min) }
    var fields = Self.fields(text)
    if fields.removeValue(forKey: "disabled") == "true" { return nil }
    let version = fields.removeValue(forKey: "version") ?? "v1"
    guard version == "v1" else { throw Failure("--provenance: version \(version) is not built: v1 is") }
    let name = fields.removeValue(forKey: "mode") ?? "min"
    guard let mode = ProvenanceRequest.Mode(rawValue: name) else {
      throw Failure("--provenance: unknown mode \"\(name)\": use min or max")
    }
    let builder = fields.removeValue(forKey: "builder-id") ?? ProvenanceRequest.defaultBuilderID
    if let other = fields.keys.sorted().first {
      throw Failure("--provenance: unknown \"\(other)\": use true, false, mode=min, mode=max or builder-id=URI")
    }
    return ProvenanceRequest(mode: mode, builderID: builder)
  }

  private func secret(_ text: String) throws -> BuildRequest.Secret {
    let fields = Self.fields(text)
    guard let id = fields["id"], !id.isEmpty else { throw Failure("--secret: an id is needed: id=ID,src=FILE") }
    if let type = fields["type"], type != "file", type != "env" { throw Failure("unsupported secret type \"\(type)\"") }
    let name = fields["env"] ?? (fields["type"] == "env" ? fields["src"] ?? fields["source"] ?? id : nil)
    if let name {
      guard let value = getenv(name) else { throw Failure("--secret \(id): the variable \(name) is not set") }
      return BuildRequest.Secret(id: id, source: .value(Array(String(cString: value).utf8)))
    }
    if let path = fields["src"] ?? fields["source"] {
      guard access(path, R_OK) == 0 else { throw Failure("failed to stat \(path): no such file or directory") }
      return BuildRequest.Secret(id: id, source: .file(path))
    }
    if let value = getenv(id) { return BuildRequest.Secret(id: id, source: .value(Array(String(cString: value).utf8))) }
    throw Failure("--secret \(id): give src=FILE or env=NAME")
  }

  private func cacheLocation(
    _ text: String, _ flag: String, folderKey: String
  ) throws -> (location: BuildRequest.CacheLocation, fields: [String: String]) {
    guard text.contains("=") else { return (.registry(reference: text), [:]) }
    let fields = Self.fields(text)
    switch fields["type"] ?? "registry" {
    case "registry":
      guard let reference = fields["ref"] else { throw Failure("\(flag) \(text): ref is needed") }
      return (.registry(reference: reference), fields)
    case "local":
      guard let path = fields[folderKey] else { throw Failure("\(flag) \(text): \(folderKey) is needed") }
      return (.directory(path), fields)
    case let type:
      throw Failure("\(flag): the cache type \(type) is not built: use type=registry or type=local")
    }
  }

  private func output(_ text: String) throws -> BuildRequest.Output {
    if text == "-" { return .tar("-") }
    guard text.contains("=") else { return .local(text) }
    let fields = Self.fields(text)
    let place = fields["dest"]
    func needed() throws -> String {
      guard let place else { throw Failure("--output \(text): dest is needed") }
      return place
    }
    switch fields["type"] ?? "" {
    case "image": return .image(push: fields["push"] == "true")
    case "registry": return .image(push: true)
    case "oci": return .ociArchive(place ?? "-")
    case "docker": return place.map { .dockerArchive($0) } ?? .image(push: false)
    case "local": return .local(try needed())
    case "tar": return .tar(place ?? "-")
    case "cacheonly": return .cacheOnly
    case let type:
      throw Failure("unknown output type \"\(type)\": use image, registry, oci, docker, local, tar or cacheonly")
    }
  }

  // MARK: Standard input

  private static func readStandardInput() async throws -> [UInt8] {
    try await DedicatedThread.run { () throws(SystemError) in
      try DurableFile.read("/dev/stdin", limit: 1 << 20)
    }
  }

  /// An archive, or a Dockerfile without a context.
  private func fromStandardInput() async throws -> BuildRequest {
    let folder = try options.data.path + "/build"
    let path = "\(folder)/stdin-\(getpid())"
    // Without a name: it is gone with the command, whatever happens. The descriptor of an archive stays open until then.
    let file = try await DedicatedThread.run { () throws(SystemError) -> Int32 in
      try Directory.create(folder, mode: 0o700)
      unlink(path)
      let fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
      guard fd >= 0 else { throw SystemError.last("create \(path)") }
      unlink(path)
      return fd
    }
    var isKept = false
    defer { if !isKept { close(file) } }
    let head = try await DedicatedThread.run { () throws(SystemError) -> [UInt8] in
      var buffer = [UInt8](repeating: 0, count: 1 << 16)
      var head: [UInt8] = []
      while true {
        let count = read(STDIN_FILENO, &buffer, buffer.count)
        if count < 0, errno == EINTR { continue }
        guard count >= 0 else { throw SystemError.last("read standard input") }
        if count == 0 { return head }
        if head.count < 512 { head += buffer[..<count].prefix(512 - head.count) }
        try DurableFile.writeAll(file, Array(buffer[..<count]), to: path)
      }
    }
    let unnamed = "/proc/self/fd/\(file)"
    let isArchive = BuildRequest.Context.isArchive(beginning: head)
    if isArchive {
      isKept = true
      return BuildRequest(context: .archive(unnamed))
    }
    let bytes = try DurableFile.read(unnamed, limit: 1 << 20)
    return BuildRequest(context: .empty, dockerfile: .text(bytes, name: "Dockerfile"))
  }
}

extension Result where Failure == any Error {
  fileprivate init(_ body: () async throws -> Success) async {
    do { self = .success(try await body()) } catch { self = .failure(error) }
  }
}

/// Cancels what runs at the first SIGINT or SIGTERM, or when the terminal goes.
private enum Interruptible {
  static func run<T: Sendable>(_ body: @escaping @Sendable () async throws -> T) async throws -> T {
    let signal = try TerminationSignal.caught(hangUp: true)
    let task = Task { try await body() }
    let watch = Task {
      _ = await signal.wait()
      task.cancel()
    }
    defer { watch.cancel() }
    return try await task.value
  }
}

/// Where progress goes: standard error.
private final class Screen: Sendable {
  private enum Renderer {
    case plain(PlainProgress)
    case terminal(TerminalProgress)
    case quiet
  }

  private let renderer: Renderer
  private let ticker = Mutex<Task<Void, Never>?>(nil)

  init(_ mode: String) throws {
    let isTerminal = isatty(STDERR_FILENO) == 1
    switch mode {
    case "plain": renderer = .plain(PlainProgress(write: Terminal.write))
    case "tty", "auto":
      guard isTerminal else {
        if mode == "tty" { throw Failure("failed to get console: standard error is no terminal; use --progress=plain") }
        renderer = .plain(PlainProgress(write: Terminal.write))
        return
      }
      let terminal = TerminalProgress(
        hasColours: getenv("NO_COLOR") == nil,
        size: {
          var size = winsize()
          guard ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return (80, 24) }
          return (Int(size.ws_col), Int(size.ws_row))
        }, write: Terminal.write)
      renderer = .terminal(terminal)
      let task = Task {
        while !Task.isCancelled {
          terminal.tick()
          try? await SystemClock().sleep(for: .milliseconds(200))
        }
      }
      ticker.withLock { $0 = task }
    case "quiet": renderer = .quiet
    case let mode: throw Failure("invalid progress mode \"\(mode)\": use auto, plain, tty or quiet")
    }
  }

  @Sendable func handle(_ event: BuildEvent) {
    switch renderer {
    case .plain(let plain): plain.handle(event)
    case .terminal(let terminal): terminal.handle(event)
    case .quiet: break
    }
  }

  var warnings: [String] {
    switch renderer {
    case .plain(let plain): plain.warnings
    case .terminal(let terminal): terminal.warnings
    case .quiet: []
    }
  }

  func close() {
    ticker.withLock { $0?.cancel() }
    if case .terminal(let terminal) = renderer { terminal.close() }
  }
}
