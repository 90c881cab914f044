import ArgumentParser
import CLinux
import ControllerKit
import Glibc
import LinuxSystem
import Wire

struct Doctor: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor", abstract: "Check whether this machine and the data are fit for Apus.",
    discussion: """
      Looks at programs, kernel, ports, address ranges, folders, disk and clock, and at what an earlier server has left.
      It changes nothing, and a server may run meanwhile. Each line that is not ok says what to do. Exit code 1 when
      something does not work, 0 when all does or works less well.

        sudo apus doctor
      """)

  @OptionGroup var options: DataOptions

  @Option(help: ArgumentHelp("What is to run here: server, or all with a node.", valueName: "server|all"))
  var role = ServerRole.all

  func validate() throws {
    guard role != .node else { throw ValidationError("--role takes server or all") }
  }

  func run() async throws {
    try await Terminal.reporting {
      let findings = await Examination(data: try options.data, roles: role.roles).run()
      for (name, finding) in findings { print(Self.line(name, finding)) }
      if findings.contains(where: { if case .problem = $0.finding { true } else { false } }) { throw ExitCode.failure }
    }
  }

  static func line(_ name: String, _ finding: MachineCheck.Finding) -> String {
    let name = name + String(repeating: " ", count: max(0, 20 - name.count))
    switch finding {
    case .ok(let detail): return "\(Terminal.green("ok"))       \(name) \(detail)"
    case .warning(let what, let remedy): return "warning  \(name) \(what)\n\(indented(remedy))"
    case .problem(let what, let remedy): return "\(Terminal.red("problem"))  \(name) \(what)\n\(indented(remedy))"
    }
  }

  private static func indented(_ remedy: String) -> String {
    remedy.split(separator: "\n").map { String(repeating: " ", count: 30) + $0 }.joined(separator: "\n")
  }
}

/// All questions about a machine and a data directory, answered without changing either.
struct Examination {
  let data: DataDirectory
  let roles: Set<Capability.Role>
  private let record: ServerRecord?
  private let mark: DirectoryMark?
  private let chosen: [Capability]
  private let footprints: [Footprint]
  private let port: Int

  /// - Parameters:
  ///   - wanted: the settings of a server that has not run yet; `apus up` without options when `nil`.
  ///   - port: of the API of such a server.
  init(data: DataDirectory, roles: Set<Capability.Role>, wanted: CapabilitySettings? = nil, port: Int? = nil) {
    self.data = data
    self.roles = roles
    let record = ServerRecord.read(data.serverRecord)
    let mark = DirectoryMark.read(data)
    let chosen = data.capabilities.filter { !$0.roles.isDisjoint(with: roles) }
    let usual = Up.parseOrExit([]).serverOptions
    let names = Set(chosen.flatMap(\.settings))
    let settings = (wanted ?? usual.settings).merging(record?.settings ?? [:]) { $1 }.filter { names.contains($0.key) }
    (self.record, self.mark, self.chosen) = (record, mark, chosen)
    footprints = chosen.map { $0.footprint(data.place(owner: mark?.identity ?? ""), settings) }
    self.port = record?.port ?? port ?? usual.port
  }

  func run() async -> [(name: String, finding: MachineCheck.Finding)] {
    let general: [MachineCheck] = [rights, kernel, directory, folders, server, claims, leftovers, clock]
    var findings: [(name: String, finding: MachineCheck.Finding)] = []
    for check in general + listeners + (links + ranges) + footprints.flatMap(\.checks) {
      findings.append((check.name, await check.find()))
    }
    return findings
  }

  private var isAlive: Bool { record?.isAlive == true }
  private func command(_ words: String) -> String { "apus \(words) --data \(data.path)" }

  // MARK: - The machine

  private var rights: MachineCheck {
    MachineCheck("rights") {
      if geteuid() == 0 { return .ok("root") }
      return .warning("not root: not everything can be seen, and `apus up` needs root", remedy: "sudo apus doctor")
    }
  }

  private var kernel: MachineCheck {
    MachineCheck("kernel") {
      var names = utsname()
      uname(&names)
      let release = withUnsafeBytes(of: &names.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      return Self.kernel(release)
    }
  }

  /// openat2(2) is of 5.6, pidfd_open(2) of 5.3.
  static func kernel(_ release: String) -> MachineCheck.Finding {
    let numbers = release.split { !$0.isNumber }.prefix(2).compactMap { Int($0) }
    guard numbers.count == 2 else {
      return .warning("release \(release) is not understood", remedy: "5.6 or newer is needed")
    }
    if (numbers[0], numbers[1]) >= (5, 6) { return .ok("Linux \(release)") }
    return .problem("Linux \(release) has no openat2", remedy: "use Linux 5.6 or newer")
  }

  private var clock: MachineCheck {
    MachineCheck("clock") { [data] in
      let now = SystemClock().now()
      var status = stat()
      // The server's own last word about the time: what it wrote cannot be of the future.
      if stat(data.serverRecord, &status) == 0, Int64(status.st_mtim.tv_sec) > now.microseconds / 1_000_000 + 60 {
        return .problem(
          "it says \(now.rfc3339), and the last server ran later than that",
          remedy: "set the clock: certificates depend on it")
      }
      if clinux_clock_is_kept() == 0 {
        return .warning(
          "\(now.rfc3339), and nothing keeps it right", remedy: "run an NTP client: apt-get install systemd-timesyncd")
      }
      return .ok(now.rfc3339)
    }
  }

  // MARK: - The data directory

  private var directory: MachineCheck {
    MachineCheck("data directory") { [data, mark] in
      do { try DirectoryMark.check(data) } catch {
        return .problem("\(error)", remedy: "give another --data DIR")
      }
      var status = stat()
      guard lstat(data.path, &status) == 0 else { return .ok("\(data.path) will be made") }
      guard status.st_uid == geteuid() || status.st_uid == 0, status.st_mode & 0o022 == 0 else {
        return .problem(
          "\(data.path) can be changed by others (owner \(status.st_uid), mode \(Self.octal(status.st_mode)))",
          remedy: "chown root \(data.path) && chmod 711 \(data.path)")
      }
      return .ok(mark == nil ? "\(data.path), which no server has used yet" : data.path)
    }
  }

  /// What is for root alone.
  private var folders: MachineCheck {
    MachineCheck("folders") { [data] in
      var open: [String] = []
      for entry in data.entries where entry.kind == .folder {
        var status = stat()
        let path = "\(data.path)/\(entry.name)"
        guard lstat(path, &status) == 0 else { continue }
        let isOwn = status.st_uid == geteuid() || status.st_uid == 0
        if status.st_mode & S_IFMT != S_IFDIR || !isOwn || status.st_mode & 0o077 != 0 { open.append(path) }
      }
      if open.isEmpty { return .ok("for root alone") }
      return .problem(
        "open to others, or no folders: \(DirectoryMark.listed(open))",
        remedy: "chown root \(open.joined(separator: " ")) && chmod 700 \(open.joined(separator: " "))")
    }
  }

  private static func octal(_ mode: mode_t) -> String { String(mode & 0o7777, radix: 8) }

  // MARK: - Servers

  private var server: MachineCheck {
    MachineCheck("server") { [data, record] in
      guard let record else { return .ok("none has run on \(data.path)") }
      return .ok(
        record.isAlive
          ? "process \(record.processID) at \(record.url)"
          : "none runs; the last one started at \(record.startedAt.rfc3339)")
    }
  }

  /// Other servers that have what this one needs.
  private var claims: MachineCheck {
    MachineCheck("other servers") { [data, footprints] in
      let own = MachineClaim(
        directory: data.path, identity: "", processID: 0, processStart: 0,
        networkNamespace: (try? MachineClaims.networkNamespace()) ?? "", things: footprints.flatMap(\.claims),
        cgroup: "/\(data.cgroup)", runDirectory: data.runtime)
      let others = data.claims.all().filter { $0.directory != data.path }
      for other in others {
        let things = own.overlap(with: other)
        if things.isEmpty || Neighbours.isAbandoned(other) { continue }
        let refusal = Neighbours(data: data).explain(MachineClaimError(owner: other, things: things))
        let lines = refusal.message.split(separator: "\n")
        return .problem(
          String(lines.first ?? ""),
          remedy: lines.dropFirst().map { $0.trimmingPrefix { $0 == " " } }.joined(separator: "\n"))
      }
      return .ok(others.isEmpty ? "none" : "\(others.count), which have nothing that this one needs")
    }
  }

  /// What servers left on the machine whose data are gone, or that nobody looks after.
  private var leftovers: MachineCheck {
    MachineCheck("leftovers") { [data, mark, isAlive] in
      let lost = data.claims.all().filter {
        !$0.isServed && DirectoryMark.read(DataDirectory(path: $0.directory))?.identity != $0.identity
      }
      if let claim = lost.first {
        return .warning(
          "the data directory \(claim.directory) is gone, and what its server had on this machine may still be there",
          remedy: "apus down --purge --data \(claim.directory)")
      }
      let processes =
        (try? CgroupLayout.current()).map { Cgroup($0, path: "/\(data.cgroup)").processes().count } ?? 0
      if mark == nil, processes > 0 {
        return .warning(
          "\(processes) processes of an earlier server run (cgroup /\(data.cgroup)), and its data are gone",
          remedy: command("down --purge"))
      }
      if !isAlive, processes > 0 {
        return .ok("\(processes) processes run on without a server, and the next `apus up` takes them over")
      }
      return .ok("none")
    }
  }

  private var listeners: [MachineCheck] {
    let api = Footprint.Listener(name: Composition.listenerName, port: port, option: "--port")
    return ([api] + footprints.flatMap(\.listeners)).filter { $0.port != 0 }.map { listener in
      MachineCheck("port \(listener.port)") { [data, record] in
        let holders = TCPListeners.processes(on: listener.port)
        guard let holder = holders.first else { return .ok("free") }
        if let record, record.isAlive, holders.contains(where: { $0.processID == record.processID }) {
          return .ok("this server's")
        }
        let other = "start with another: \(listener.option), as in\n\(Neighbours(data: data).beside())"
        // A service manager waits there for a service's first connection, which may be this server.
        let server = holders.first { $0.processID != 1 || $0.name != "systemd" }
        guard let holder = server else {
          return .warning(
            "kept by process 1 (\(holder.name)) for a service",
            remedy: "systemctl list-sockets says for which; if it is not this one, stop that unit, or \(other)")
        }
        return .problem(
          "taken by process \(holder.processID) (\(holder.name))", remedy: "stop it, or \(other)")
      }
    }
  }

  /// Interfaces of our names that are others'.
  private var links: [MachineCheck] {
    footprints.flatMap { footprint in
      footprint.links.map { link in
        MachineCheck("interface \(link)") { [data, record] in
          guard if_nametoindex(link) != 0 else { return .ok("will be made") }
          if (try? await footprint.isMarked()) == true || record != nil { return .ok("this server's") }
          return .problem(
            "there, and not this server's", remedy: "start with other names: \(Neighbours(data: data).beside())")
        }
      }
    }
  }

  /// Routes of others into our ranges.
  private var ranges: [MachineCheck] {
    let own = Set(footprints.flatMap(\.links))
    return footprints.flatMap(\.claims).filter { $0.kind == .range }.map { range in
      MachineCheck("\(range.noun)") { [data] in
        guard let output = try? await Subprocess.run("ip", ["-json", "route"], timeout: .seconds(10)),
          output.status == .exited(0)
        else { return .warning("\(range.value): routes cannot be read", remedy: "apt-get install iproute2") }
        let others = Self.routes(output.stdout, into: range.value, otherThan: own)
        guard let first = others.first else { return .ok("\(range.value) is nobody else's") }
        return .problem(
          "\(range.value) overlaps the route to \(first)",
          remedy: "start with other ranges: \(Neighbours(data: data).beside())")
      }
    }
  }

  /// Destinations that overlap a range, by what `ip -json route` prints. The default route and the blackholes that keep
  /// our own ranges in do not count.
  static func routes(_ listing: [UInt8], into range: String, otherThan links: Set<String>) -> [String] {
    ((try? JSON.parse(listing))?.array ?? []).compactMap { route -> String? in
      guard let destination = route["dst"]?.string, destination != "default", route["type"]?.string != "blackhole",
        !links.contains(route["dev"]?.string ?? "")
      else { return nil }
      let block = destination.contains("/") ? destination : destination + (destination.contains(":") ? "/128" : "/32")
      let theirs = Footprint.Claim(.range, "route", block)
      return theirs.overlaps(Footprint.Claim(.range, "range", range)) ? destination : nil
    }
  }
}

extension MachineCheck {
  /// Room for images, state and logs: on the file system of the path, or of the nearest folder above it.
  static func diskSpace(_ path: String) -> MachineCheck {
    MachineCheck("disk") {
      var folder = path
      var status = statvfs()
      while statvfs(folder, &status) != 0, folder.count > 1 {
        folder = String(folder[..<(folder.lastIndex(of: "/") ?? folder.startIndex)])
        if folder.isEmpty { folder = "/" }
      }
      let free = UInt64(status.f_bavail) * UInt64(status.f_frsize)
      let nodes = status.f_files > 0 ? UInt64(status.f_favail) : .max
      return diskSpace(free: free, nodes: nodes, at: folder)
    }
  }

  static func diskSpace(free: UInt64, nodes: UInt64, at folder: String) -> Finding {
    let remedy = "make room on the file system of \(folder); images that nothing needs: apus image prune"
    if free < 64 << 20 || nodes < 1000 {
      return .problem("\(Terminal.megabytes(free)) and \(nodes) files are left on \(folder)", remedy: remedy)
    }
    if free < 1 << 30 || nodes < 20_000 {
      return .warning("\(Terminal.megabytes(free)) are left on \(folder)", remedy: remedy)
    }
    return .ok("\(Terminal.megabytes(free)) are left on \(folder)")
  }
}
