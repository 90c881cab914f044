import ArgumentParser
import ControllerKit
import Glibc
import LinuxSystem

/// What a purge may delete: what the directory's mark and the machine's claims say is this data directory's, and nothing
/// else. Made, and refused, before anything is touched.
struct PurgePlan {
  private let found: DirectoryMark?
  private let claim: MachineClaim?
  private let isMountPoint: Bool
  private let path: String
  /// Below these, mounts are Apus'.
  private let mounts: [String]

  /// - Throws: when nothing says that the directory is Apus', or when what others have mounted is in it.
  init(data: DataDirectory) throws {
    if let reason = DirectoryMark.refusal(of: data.path) {
      throw Failure("\(data.path) \(reason): nothing is removed")
    }
    path = data.path
    let names = Set(data.entries.map(\.name))
    mounts = data.footprints([:], owner: "").flatMap(\.mounts).map { "\(data.path)/\($0)/" }
    claim = data.claims.claim(of: data.path)
    var status = stat()
    guard lstat(data.path, &status) == 0 else {
      // Deleted by hand: what it had on the machine may still be there.
      guard claim != nil else {
        throw Failure("\(data.path) is not there: nothing is removed", code: .noServer)
      }
      (found, isMountPoint) = (nil, false)
      return
    }
    guard let mark = DirectoryMark.read(data) else {
      // Emptied by hand: as if it were not there. A server that lives may have written into it since.
      let isServed = claim?.isServed == true
      if claim != nil,
        try Directory.list(data.path).allSatisfy({
          $0 == "lost+found" || isServed && names.contains($0)
        })
      {
        let path = data.path
        (found, isMountPoint) = (nil, try MountInfo.current().contains { $0.mountPoint == path })
        return
      }
      throw Failure(
        """
        \(data.path) has no mark of Apus (\(data.mark)): nothing is removed.
        A directory that an earlier version of Apus made gets its mark at the next start: apus up --data \(data.path)
        """)
    }
    switch DirectoryMark.whereabouts(of: mark, data) {
    case .here: break
    case .moved:
      if data.claims.all().contains(where: { $0.identity == mark.identity && $0.directory == mark.path }) {
        throw Failure(
          "\(data.path) was \(mark.path) when its containers and network were made: nothing is removed; move it back first"
        )
      }
    case .alsoThere:
      throw Failure("\(data.path) is \(mark.path) by another name: apus down --purge --data \(mark.path)")
    case .copied:
      throw Failure(
        "\(data.path) is a copy of \(mark.path), and no server has run on it: nothing is removed; delete it yourself")
    }
    found = mark
    let current = try MountInfo.current()
    isMountPoint = current.contains { $0.mountPoint == data.path }
    let foreign = current.map(\.mountPoint).filter { mount in
      mount.hasPrefix(data.path + "/") && !mounts.contains { mount.hasPrefix($0) }
    }
    guard foreign.isEmpty else {
      throw Failure(
        "in \(data.path) is mounted what is not Apus': \(DirectoryMark.listed(foreign)): nothing is removed; unmount it"
      )
    }
  }

  /// The running server, as its claim tells it: also when its record is gone with the directory.
  var server: Int32? { claim.flatMap { $0.isServed ? $0.processID : nil } }

  /// Asks whoever sits at the terminal.
  ///
  /// - Throws: when the answer is no, or there is no terminal.
  func confirm() throws {
    guard isatty(STDIN_FILENO) == 1, isatty(STDERR_FILENO) == 1 else {
      throw Failure(
        "this removes all containers, networks and data of \(path), and there is no way back. There is no terminal to ask "
          + "at; to do it all the same: apus down --purge --yes --data \(path)", code: .validationFailure)
    }
    Terminal.write("This removes all containers, networks and data of \(path). There is no way back. Type yes: ")
    guard readLine()?.split(separator: " ") == ["yes"] else { throw Failure("nothing is removed") }
  }

  /// The directory's mark. A directory that was deleted gets it back for as long as the purge takes.
  func mark(_ data: DataDirectory) throws -> DirectoryMark {
    if let found { return found }
    guard let claim else { throw Failure("\(data.path) is not there: nothing is removed", code: .noServer) }
    return try DirectoryMark.restore(claim.identity, data)
  }

  /// What every capability has of the machine that is this server's. The claim tells it, or the kernel's marks: where
  /// neither does, another server's may have the same names. The record fills in what both need not know, such as programs.
  func footprints(
    of data: DataDirectory, record: ServerRecord?, mark: DirectoryMark
  ) async throws -> [Footprint] {
    let claimed = claim.flatMap { $0.identity == mark.identity ? $0.settings : nil } ?? [:]
    let known = (record?.settings ?? [:]).merging(claimed) { $1 }
    let place = data.place(owner: mark.identity)
    var footprints: [Footprint] = []
    for capability in data.capabilities {
      let footprint = capability.footprint(place, known)
      let certain = capability.footprint(place, claimed)
      let isCertain = footprint.links == certain.links && footprint.tables == certain.tables
      let isOurs = isCertain ? true : try await footprint.isMarked()
      footprints.append(isOurs ? footprint : certain)
    }
    return footprints
  }

  /// Unmounts and removes what Apus keeps in the directory, its mark last, so that a purge that was interrupted can be
  /// repeated; and the directory itself, when nothing else is in it.
  /// - Returns: what is left in it, or the directory itself when it cannot go.
  func removeFiles(of data: DataDirectory, mark: DirectoryMark) throws -> [String] {
    for mount in try MountInfo.current().reversed() where isOurs(mount: mount.mountPoint) {
      try Mount.unmount(mount.mountPoint, detach: true)
    }
    for name in Set(data.entries.map(\.name)).subtracting(mark.kept).sorted() {
      try Directory.removeTree("\(data.path)/\(name)")
    }
    let kept = try Directory.list(data.path).filter { $0 != DirectoryMark.name }
    try Directory.removeTree(data.mark)
    if !kept.isEmpty { return kept.map { "\(data.path)/\($0)" } }
    if isMountPoint { return ["\(data.path), which is a mount point"] }
    guard rmdir(data.path) == 0 || errno == ENOENT else { return [data.path] }
    return []
  }

  /// Overlays of containers and builds, and volumes: all of them deep in folders of ours.
  func isOurs(mount: String) -> Bool { mounts.contains { mount.hasPrefix($0) } }
}
