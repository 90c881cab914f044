-- Reads one path. Arguments: path, token.
function init(args)
  wrk.path = args[1]
  wrk.headers["Authorization"] = "Bearer " .. args[2]
end

function request()
  return wrk.format("GET", wrk.path)
end
