/// Users and groups of a file system that is not the machine's own: an image's `/etc/passwd` and `/etc/group` (passwd(5),
/// group(5)). One reader for whoever runs processes from images and whoever builds them.
public struct UserDatabase: Sendable, Equatable {
  public struct User: Sendable, Equatable {
    public var name: String
    public var uid: UInt32
    public var gid: UInt32
    public var home: String

    public init(name: String, uid: UInt32, gid: UInt32, home: String = "") {
      self.name = name
      self.uid = uid
      self.gid = gid
      self.home = home
    }
  }

  public struct Group: Sendable, Equatable {
    public var name: String
    public var gid: UInt32
    public var members: [String]
  }

  public var users: [User]
  public var groups: [Group]

  public static let passwdPath = "etc/passwd"
  public static let groupPath = "etc/group"
  /// Bytes of one file. A larger one is an error and no empty file: a user that is not found in it would get root's group.
  public static let sizeMax = 1 << 20

  /// Lines that are not of the form are left out.
  public init(passwd: [UInt8] = [], group: [UInt8] = []) {
    users = Self.lines(passwd).compactMap { fields in
      guard fields.count >= 4, let uid = Self.number(fields[2]), let gid = Self.number(fields[3]) else { return nil }
      return User(name: fields[0], uid: uid, gid: gid, home: fields.count > 5 ? fields[5] : "")
    }
    groups = Self.lines(group).compactMap { fields in
      guard fields.count >= 3, let gid = Self.number(fields[2]) else { return nil }
      return Group(
        name: fields[0], gid: gid, members: fields.count > 3 ? fields[3].split(separator: ",").map(String.init) : [])
    }
  }

  /// Reads the two files without leaving `root`, whatever symbolic links it holds. A missing file is empty.
  ///
  /// - Throws: when there is one that cannot be read, is no regular file, or is larger than `sizeMax`.
  public init(root: String) throws(SystemError) {
    let folder = try ResolvedFile(root)
    self.init(
      passwd: try Self.read(Self.passwdPath, in: folder), group: try Self.read(Self.groupPath, in: folder))
  }

  private static func read(_ path: String, in root: ResolvedFile) throws(SystemError) -> [UInt8] {
    do throws(SystemError) {
      return try ResolvedFile(path, in: root, scope: .inRoot).contents(limit: sizeMax)
    } catch {
      if error.isMissing { return [] }
      throw error
    }
  }

  // MARK: Looking up

  /// A user or group number: digits only. The largest one means "as it is" to the kernel, which would leave a process
  /// root's.
  public static func number(_ text: some StringProtocol) -> UInt32? {
    guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = UInt32(text), number != .max else {
      return nil
    }
    return number
  }

  /// The first user of that name.
  public func user(named name: String) -> User? { users.first { $0.name == name } }

  /// The first user of that number.
  public func user(_ uid: UInt32) -> User? { users.first { $0.uid == uid } }

  /// The first group of that name.
  public func group(named name: String) -> Group? { groups.first { $0.name == name } }

  /// The groups that have a user among their members, in the file's order.
  public func memberships(of name: String) -> [UInt32] {
    name.isEmpty ? [] : groups.filter { $0.members.contains(name) }.map(\.gid)
  }

  /// The list of groups for a process: its primary group first, each once.
  ///
  /// The kernel checks the list and the primary group alike, but a set-group-id program changes the latter only: a group
  /// that is not in the list would be lost, and with it what a file denies to that group (CVE-2022-36109, CVE-2023-25173).
  public static func processGroups(primary: UInt32, additional: [UInt32]) -> [UInt32] {
    var seen: Set<UInt32> = []
    return ([primary] + additional).filter { seen.insert($0).inserted }
  }

  private static func lines(_ bytes: [UInt8]) -> [[String]] {
    bytes.split(separator: 0x0A).filter { $0.first != UInt8(ascii: "#") }.map { line in
      line.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false).map {
        String(decoding: $0, as: UTF8.self)
      }
    }
  }
}

/// Whom a process runs as.
public struct ProcessUser: Sendable, Equatable {
  public var uid: UInt32
  public var gid: UInt32
  /// With the primary group, which comes first.
  public var groups: [UInt32]
  /// `nil` when the files do not say.
  public var home: String?

  public init(uid: UInt32, gid: UInt32, groups: [UInt32], home: String? = nil) {
    self.uid = uid
    self.gid = gid
    self.groups = groups
    self.home = home
  }
}

extension UserDatabase {
  /// A name that is not in the files.
  public enum UnknownName: Error, Sendable, Equatable {
    case user(String)
    case group(String)
  }

  /// Whom a process with this user runs as, in a container and in a build's step alike, so that what a step did as a user
  /// the container of the same user finds as it is.
  ///
  /// The user brings the groups that the files give it, also when its primary group is named: so do the containers of
  /// Kubernetes' runtimes (KEP-3619, `Merge`), and an image is built to run in those.
  ///
  /// - Parameters:
  ///   - text: as in `USER`: names or numbers, `user` or `user:group`; empty for root.
  ///   - uid: instead of `text`, whose group does not count then.
  ///   - gid: the primary group, instead of any other.
  ///   - supplementalGroups: come beside the others.
  ///   - mergesGroups: `false` leaves out what the files give the user (KEP-3619, `Strict`).
  public func process(
    _ text: String, uid: UInt32? = nil, gid: UInt32? = nil, supplementalGroups: [UInt32] = [], mergesGroups: Bool = true
  ) throws(UnknownName) -> ProcessUser {
    let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    let (userText, groupText) = (parts[0], parts.count > 1 ? parts[1] : "")
    var found: User
    if let number = uid ?? Self.number(userText) {
      found = user(number) ?? User(name: "", uid: number, gid: 0)
    } else if userText.isEmpty {
      found = user(0) ?? Self.root
    } else if let known = user(named: userText) {
      found = known
    } else if userText == "root" {
      // An image without /etc/passwd has root all the same.
      found = user(0) ?? Self.root
    } else {
      throw .user(userText)
    }
    if let gid {
      found.gid = gid
    } else if uid == nil, !groupText.isEmpty {
      found.gid = try number(ofGroup: groupText)
    }
    let members = mergesGroups ? memberships(of: found.name) : []
    return ProcessUser(
      uid: found.uid, gid: found.gid,
      groups: Self.processGroups(primary: found.gid, additional: members + supplementalGroups),
      home: found.home.isEmpty ? nil : found.home)
  }

  /// A group by name or number. `root` is there in any image.
  public func number(ofGroup text: String) throws(UnknownName) -> UInt32 {
    if let number = Self.number(text) { return number }
    if let group = group(named: text) { return group.gid }
    if text == "root" { return 0 }
    throw .group(text)
  }

  private static let root = User(name: "root", uid: 0, gid: 0, home: "/root")
}
