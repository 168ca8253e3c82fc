-- Makes every request of wrk a POST with a body of as many bytes as the argument after `--` says.
function init(args)
  wrk.method = "POST"
  wrk.body = string.rep("x", tonumber(args[1]))
end
